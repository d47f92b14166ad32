import dns, { type LookupAddress } from 'node:dns';
import { isIP } from 'node:net';
import type { HostTarget } from '../options/host-options.js';
import { InPlaceSocket } from '../in-place-socket.js';

/** The addresses of a host. `undefined` stands for the name itself, where there is nothing to look up. */
export type Addresses = readonly (string | undefined)[];

const BY_NAME: Addresses = Object.freeze([undefined]);

/**
 * Looks up the addresses of a host.
 *
 * @param shuffled - whether their order is another one at each dial; otherwise it is the resolver's, with the two
 * families taking turns: https://www.rfc-editor.org/rfc/rfc8305#section-4
 */
export async function addressesOf({ host, address }: HostTarget, shuffle: Shuffle | undefined): Promise<Addresses> {
  if (address !== undefined) return [address];
  if (host.startsWith('/') || isIP(host) !== 0) return BY_NAME;
  const found = await new Promise<LookupAddress[]>((resolve, reject) => {
    dns.lookup(host, { all: true, verbatim: true }, (error, addresses) =>
      error === null ? resolve(addresses) : reject(error),
    );
  });
  return shuffle === undefined ? takingTurns(found) : shuffle(found.map(({ address: each }) => each));
}

/** Puts things into another order. */
export type Shuffle = <Item>(items: readonly Item[]) => Item[];

/** Fisher and Yates's: https://en.wikipedia.org/wiki/Fisher%E2%80%93Yates_shuffle */
export function shuffleWith(random: () => number): Shuffle {
  return (items) => {
    const shuffled = [...items];
    for (let at = shuffled.length - 1; at > 0; at--) {
      const other = Math.floor(random() * (at + 1));
      [shuffled[at], shuffled[other]] = [shuffled[other] as never, shuffled[at] as never];
    }
    return shuffled;
  };
}

function takingTurns(found: readonly LookupAddress[]): string[] {
  const [first, second] = [6, 4].map((family) => found.filter((each) => each.family === family));
  const [ahead, behind] = (found[0]?.family === 6 ? [first, second] : [second, first]) as [
    LookupAddress[],
    LookupAddress[],
  ];
  const turns: string[] = [];
  for (let at = 0; at < Math.max(ahead.length, behind.length); at++) {
    for (const each of [ahead[at], behind[at]]) if (each !== undefined) turns.push(each.address);
  }
  return turns;
}

/**
 * A socket that connects to one address, whatever name it is given. So pg still knows the host by its name, which is what
 * its certificate and its password belong to.
 */
export class AddressedSocket extends InPlaceSocket {
  readonly #address: string;

  constructor(address: string) {
    super();
    this.#address = address;
  }

  override connect(...way: unknown[]): this {
    const [port, host] = way;
    if (typeof port !== 'number' || typeof host !== 'string') return super.connect(...(way as [never]));
    return super.connect(port, this.#address);
  }
}
