/** The client of another service. */
export function clientSource(name: string, className: string): string {
  return `import { Injectable } from '@nestjs/common';
import { HttpClient, InjectHttpClient } from 'nestjs-pooling';

@Injectable()
export class ${className} {
  constructor(@InjectHttpClient('${name}') private readonly http: HttpClient) {}

  find<T>(id: string): Promise<T> {
    return this.http.get(\`/\${encodeURIComponent(id)}\`).json<T>();
  }
}
`;
}

/** Its test, with something that stands in for the network. */
export function clientSpecSource(name: string, className: string, file: string): string {
  return `import { Test } from '@nestjs/testing';
import { getHttpClientToken } from 'nestjs-pooling';
import { ${className} } from '${file}';

describe('${className}', () => {
  it('asks the service', async () => {
    const http = {
      get: (path: string) => ({ json: () => Promise.resolve({ path }) }),
    };
    const module = await Test.createTestingModule({
      providers: [
        ${className},
        { provide: getHttpClientToken('${name}'), useValue: http },
      ],
    }).compile();

    expect(await module.get(${className}).find('a/b')).toEqual({
      path: '/a%2Fb',
    });
  });
});
`;
}
