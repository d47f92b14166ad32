import fc from 'fast-check';
import { decide, reservedBy, type FleetTerms, type Verdict } from '#pooling/database/fleet/claim.js';
import { fairShares } from '#pooling/database/fleet/fair-shares.js';
import type { FleetView, SeenProcess } from '#pooling/database/fleet/fleet-view.js';

/** A process as it stands, with what it has published. */
interface Standing {
  readonly id: string;
  readonly used: number;
  readonly ceiling: number;
  readonly wanted: number;
  readonly held: number;
  readonly look: number;
}

const MIN = 2;

/**
 * A fleet in which everybody has looked: each has its share or less, and may hold on to more than that for the time of a
 * query. What each has beyond `min` is drawn as a part of its share.
 */
const fleets = fc
  .record({
    budget: fc.integer({ min: 4, max: 120 }),
    members: fc.array(
      fc.record({ wanted: fc.integer({ min: 0, max: 30 }), part: fc.double({ min: 0, max: 1.6, noNaN: true }) }),
      { minLength: 2, maxLength: 12 },
    ),
  })
  .map(({ budget, members }) => {
    const shares = fairShares(
      members.map(({ wanted }) => Math.max(MIN, wanted)),
      budget,
    ).map((share) => Math.max(1, share));
    const standings = members.map(({ wanted, part }, at): Standing => {
      const share = shares[at] as number;
      const used = Math.max(1, Math.floor(share * part));
      const ceiling = Math.min(share, used);
      return { id: `p${at.toString(36)}`, used, ceiling, wanted, held: used, look: 1 };
    });
    return { terms: { connections: budget, min: MIN }, shares, standings };
  });

function viewOf(standings: readonly Standing[]): FleetView {
  const processes = standings.map(({ id, used, held, wanted, look }): SeenProcess => {
    return { id, connections: used, publication: { held, wanted, look } };
  });
  return { unmanaged: 0, processes };
}

function lookOf({ id, used, ceiling, wanted, held, look }: Standing, view: FleetView, terms: FleetTerms): Verdict {
  return decide(view, { id, ceiling, used, wanted, most: 1_000, published: { held, wanted, look } }, terms);
}

function after(standing: Standing, { ceiling, held }: Verdict): Standing {
  return { ...standing, ceiling, held, look: standing.look + 1 };
}

/** All look at the same moment, and so see the same. */
function allAtOnce(standings: readonly Standing[], terms: FleetTerms): Standing[] {
  const view = viewOf(standings);
  return standings.map((standing) => after(standing, lookOf(standing, view, terms)));
}

/** One looks after the other, and sees what those before it have published. */
function inTurn(standings: readonly Standing[], order: readonly number[], terms: FleetTerms): Standing[] {
  const now = [...standings];
  for (const at of order) now[at] = after(now[at] as Standing, lookOf(now[at] as Standing, viewOf(now), terms));
  return now;
}

function reserved(standings: readonly Standing[]): number {
  return viewOf(standings).processes.reduce((sum, each) => sum + reservedBy(each, MIN), 0);
}

describe('claims of processes that look at the same moment', () => {
  it('fit into what is free together, however much one of them still holds on to', () => {
    fc.assert(
      fc.property(fleets, ({ terms, standings }) => {
        const claimed = reserved(allAtOnce(standings, terms));
        expect(claimed).toBeLessThanOrEqual(Math.max(terms.connections, reserved(standings)));
      }),
    );
  });

  it('are all used when they look the next time, and leave nothing free that somebody wants', () => {
    fc.assert(
      fc.property(fleets, ({ terms, shares, standings }) => {
        const claims = allAtOnce(standings, terms);
        const settled = allAtOnce(claims, terms);
        expect(settled.map(({ ceiling }) => ceiling)).toEqual(
          claims.map(({ held }, at) => Math.min(held, shares[at] as number)),
        );
        const needed = standings.reduce((sum, { used }, at) => sum + Math.max(used, shares[at] as number), 0);
        if (reserved(standings) <= terms.connections) {
          expect(reserved(settled)).toBe(Math.min(needed, terms.connections));
        }
      }),
    );
  });

  it('are the same as if one had looked after the other, in whatever order', () => {
    const ordered = fleets.chain((fleet) =>
      fc.tuple(
        fc.constant(fleet),
        fc.shuffledSubarray([...fleet.standings.keys()], {
          minLength: fleet.standings.length,
          maxLength: fleet.standings.length,
        }),
      ),
    );
    fc.assert(
      fc.property(ordered, ([{ terms, standings }, order]) => {
        const held = (each: readonly Standing[]): number[] => each.map((standing) => standing.held);
        expect(held(inTurn(standings, order, terms))).toEqual(held(allAtOnce(standings, terms)));
      }),
    );
  });

  it('serve those without `min` first', () => {
    fc.assert(
      fc.property(fleets, ({ terms, shares, standings }) => {
        const claims = allAtOnce(standings, terms);
        const lacks = claims.some(({ held }, at) => held < Math.min(MIN, shares[at] as number));
        const takesMore = claims.some(({ held }, at) => held > Math.max(MIN, (standings[at] as Standing).used));
        expect(lacks && takesMore).toBe(false);
      }),
    );
  });
});
