import { atLeast, isMissingPackage, optionalPackage, packageProblems } from './optional-package.js';

function failure(code: string | undefined, message: string): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code });
}

interface Carrier {
  readonly Truck: new () => object;
  send(): string;
}

const missing = failure('MODULE_NOT_FOUND', "Cannot find module 'carrier'\nRequire stack:\n- /app/main.js");

describe('an optional package', () => {
  it('is what was loaded, and has no problem', () => {
    const carrier: Carrier = { Truck: class {}, send: () => 'sent' };
    expect(optionalPackage<Carrier>('carrier', { module: carrier })).toEqual({
      name: 'carrier',
      module: carrier,
      problem: undefined,
    });
  });

  it.each([
    ["Node's require", missing],
    ["Node's import", failure('ERR_MODULE_NOT_FOUND', "Cannot find package 'carrier' imported from /app/main.js")],
    [
      "Yarn's PnP",
      failure('MODULE_NOT_FOUND', 'nestjs-pooling tried to access carrier (a peer dependency) but it isn’t provided'),
    ],
    [
      'Jest under PnP',
      failure(undefined, "nestjs-pooling tried to access carrier (a peer dependency) but it isn't provided"),
    ],
    ['a bundle that left it out', failure(undefined, 'Dynamic require of "carrier" is not supported')],
  ])('is missing when %s says so', (_who, error) => {
    expect(isMissingPackage(error, 'carrier')).toBe(true);
    expect(optionalPackage('carrier', { error }).problem).toBe(
      "needs carrier, which isn't installed: npm install carrier",
    );
  });

  it('is there when one of its own packages is missing, and says so', () => {
    const error = failure('MODULE_NOT_FOUND', "Cannot find module 'wheels'\nRequire stack:\n- /app/carrier/index.js");
    expect(isMissingPackage(error, 'carrier')).toBe(false);
    expect(optionalPackage('carrier', { error }, 'carrier@7').problem).toBe(
      `needs carrier, which can't be loaded on Node ${process.versions.node} (Cannot find module 'wheels'): ` +
        'npm install carrier@7',
    );
  });

  it('has stand-ins that can be extended and throw when they are used', () => {
    const { module: carrier } = optionalPackage<Carrier>('carrier', { error: missing });
    class Lorry extends carrier.Truck {}
    expect(() => new Lorry()).toThrow("needs carrier, which isn't installed: npm install carrier");
    expect(() => carrier.send()).toThrow('npm install carrier');
    expect(carrier.Truck).toBe(carrier.Truck);
  });

  it('is refused when it is too old, and taken when it is new enough', () => {
    const loaded = optionalPackage<Carrier>('carrier', { module: { Truck: class {}, send: () => 'sent' } });
    for (const version of ['7.30.0', '7.30.1', '7.31.0', '8.0.0-beta.1']) {
      expect(atLeast(loaded, version, '7.30.0', 'carrier@7')).toBe(loaded);
    }
    for (const version of ['6.21.3', '7.29.9', '7.3.0']) {
      const old = atLeast(loaded, version, '7.30.0', 'carrier@7');
      expect(packageProblems('http', old)).toEqual([
        `http: needs carrier 7.30.0 or later, and ${version} is installed: npm install carrier@7`,
      ]);
      expect(() => old.module.send()).toThrow('needs carrier 7.30.0 or later');
    }
  });
});
