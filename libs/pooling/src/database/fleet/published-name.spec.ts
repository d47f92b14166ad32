import fc from 'fast-check';
import { fleetName, instanceName, newInstanceId, publishedName, readName } from './published-name.js';

const id = fc.stringMatching(/^[0-9a-z]{6}$/);
const figure = fc.nat({ max: 99_999 });
const publication = fc.record({ held: figure, wanted: figure, look: fc.nat({ max: 36 ** 6 - 1 }) });

describe('the name that a process publishes', () => {
  it('has the application, the process, what it holds and what it wants', () => {
    const name = publishedName(instanceName(fleetName('orders'), 'k3f9a2'), { held: 17, wanted: 12, look: 40 });
    expect(name).toBe('orders#k3f9a2/17.12.14');
    expect(readName('orders', name)).toEqual({ id: 'k3f9a2', publication: { held: 17, wanted: 12, look: 40 } });
  });

  it('comes back as it was written, in 63 bytes of ASCII, whatever the application is called', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 60 }),
        id,
        publication,
        (application, process, published) => {
          const fleet = fleetName(application);
          const instance = instanceName(fleet, process);
          const name = publishedName(instance, published);
          expect(name).toMatch(/^[\x20-\x7e]*$/);
          expect(Buffer.byteLength(name)).toBeLessThanOrEqual(63);
          expect(readName(fleet, name)).toEqual({ id: process, publication: published });
          expect(readName(fleet, instance)).toEqual({ id: process, publication: undefined });
        },
      ),
      { numRuns: 300 },
    );
  });

  it.each([
    ['of another application', 'billing#k3f9a2/17.12.14'],
    ['of one whose name begins in the same way', 'orders-api#k3f9a2/17.12.14'],
    ['without an id', 'orders'],
    ['with more behind it', 'orders#k3f9a2/17.12.14 - 10.0.0.1:4711'],
    ['with half a publication', 'orders#k3f9a2/17'],
    ['with an id of another length', 'orders#k3f9'],
  ])('is none %s', (_, name) => {
    expect(readName('orders', name)).toBeUndefined();
  });

  it('loses its accents and what else isn’t ASCII, as the server would write four bytes for each', () => {
    expect(fleetName('Bücher für Zoë – größer')).toBe('Bucher fur Zoe _ gro_er');
  });

  it('is cut where an application has a long one, and the ends of figures that are too large', () => {
    const fleet = fleetName('a'.repeat(90));
    expect(fleet).toBe('a'.repeat(37));
    expect(publishedName(`${fleet}#000000`, { held: 1e9, wanted: -1, look: 1 })).toBe(`${fleet}#000000/99999.0.1`);
  });

  it('has an id of its own for each process', () => {
    const ids = new Set(Array.from({ length: 1_000 }, newInstanceId));
    expect(ids.size).toBeGreaterThan(995);
    for (const each of ids) expect(each).toMatch(/^[0-9a-z]{6}$/);
  });
});
