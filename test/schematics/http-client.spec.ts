import { APP_MODULE, project, Workbench } from './workbench.js';

let bench: Workbench;
beforeAll(() => {
  bench = new Workbench();
});
afterAll(() => bench[Symbol.dispose]());

describe('nest g -c nestjs-pooling http-client', () => {
  it('makes a client with its test, and registers both client and class', async () => {
    const added = await bench.run('nest-add', project('12.5.1'));
    const tree = await bench.run('http-client', added, { name: 'carrier' });
    const client = tree.readText('src/carrier/carrier.client.ts');
    expect(client).toContain('@Injectable()\nexport class CarrierClient {');
    expect(client).toContain(`@InjectHttpClient('carrier') private readonly http: HttpClient`);
    expect(tree.readText('src/carrier/carrier.client.spec.ts')).toContain(
      `import { CarrierClient } from './carrier.client.js';`,
    );
    expect(tree.readText('src/app.module.ts')).toBe(`import { Module } from '@nestjs/common';
import { PoolingModule } from 'nestjs-pooling';
import { AppController } from './app.controller.js';
import { AppService } from './app.service.js';
import { CarrierClient } from './carrier/carrier.client.js';

@Module({
  imports: [
    PoolingModule.forRoot(),
    PoolingModule.forHttpClientAsync({
      name: 'carrier',
      useFactory: () => ({ baseUrl: process.env['CARRIER_URL'] }),
    }),
  ],
  controllers: [AppController],
  providers: [AppService, CarrierClient],
})
export class AppModule {}
`);
    expect(tree.readText('.env.example')).toContain('CARRIER_URL=https://carrier.example\n');
    expect(bench.said).not.toContain('nowhere');
  });

  it.each([
    [
      'shippingCarrier',
      'src/shipping-carrier/shipping-carrier.client.ts',
      'ShippingCarrierClient',
      'SHIPPING_CARRIER_URL',
    ],
    [
      'Shipping carrier',
      'src/shipping-carrier/shipping-carrier.client.ts',
      'ShippingCarrierClient',
      'SHIPPING_CARRIER_URL',
    ],
    ['outside/carrier', 'src/outside/carrier/carrier.client.ts', 'CarrierClient', 'CARRIER_URL'],
  ])('%s is %s', async (name, file, className, variable) => {
    const tree = await bench.run('http-client', project('11.1.20'), { name });
    expect(tree.readText(file)).toContain(`class ${className} `);
    expect(tree.readText('.env.example')).toContain(`${variable}=`);
    expect(bench.said).toContain('PoolingModule.forRoot() is imported nowhere yet: npx nest add nestjs-pooling');
  });

  it('brings undici where the application has none yet', async () => {
    const added = await bench.run('nest-add', project('11.1.20'), { http: false });
    expect(added.readText('package.json')).not.toContain('"undici"');
    const tree = await bench.run('http-client', added, { name: 'carrier' });
    expect(tree.readText('package.json')).toMatch(/"undici": "\^[78]\./);
    expect(bench.runner.tasks).toMatchObject([{ name: 'node-package' }]);
    await bench.run('http-client', tree, { name: 'other' });
    expect(bench.runner.tasks).toEqual([]);
  });

  it('takes Nest’s own options: path, flat, spec, the suffix of specs, sourceRoot and skipImport', async () => {
    const options = { path: 'outside', flat: true, specFileSuffix: 'test', skipImport: true };
    const tree = await bench.run('http-client', project('11.1.20'), { name: 'carrier', ...options });
    expect(tree.exists('src/outside/carrier.client.ts')).toBe(true);
    expect(tree.exists('src/outside/carrier.client.test.ts')).toBe(true);
    expect(tree.readText('src/app.module.ts')).toBe(APP_MODULE);
    const other = await bench.run('http-client', project('11.1.20'), {
      name: 'carrier',
      spec: false,
      sourceRoot: 'apps/jobs/src',
    });
    expect(other.files.filter((file) => file.includes('carrier'))).toEqual([
      '/apps/jobs/src/carrier/carrier.client.ts',
    ]);
  });

  it('registers it in the nearest module, and only once', async () => {
    const module = APP_MODULE.replace('AppModule', 'OutsideModule').replaceAll(`'./`, `'../`);
    const first = await bench.run('http-client', project('11.1.20', { 'src/outside/outside.module.ts': module }), {
      name: 'carrier',
      path: 'outside',
    });
    expect(first.readText('src/outside/outside.module.ts')).toContain(
      `import { CarrierClient } from './carrier/carrier.client';`,
    );
    expect(first.readText('src/app.module.ts')).toBe(APP_MODULE);
    const second = await bench.run('http-client', first, { name: 'carrier', path: 'other' });
    expect(bench.said).toContain('the client carrier is registered');
    expect(second.readText('src/app.module.ts')).toContain('providers: [AppService, CarrierClient]');
    expect(second.readText('src/app.module.ts')).not.toContain('forHttpClientAsync');
  });

  it.each(['', '7', '../'])('refuses %j as a name', async (name) => {
    await expect(bench.run('http-client', project('11.1.20'), { name })).rejects.toThrow(
      /can't be the name of a class/,
    );
  });
});
