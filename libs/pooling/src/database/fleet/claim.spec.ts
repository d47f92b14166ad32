import { decide, type OwnStanding } from './claim.js';
import { viewOf, type NameCount } from './fleet-view.js';
import { publishedName } from './published-name.js';
import { Standing } from './standing.js';

const TERMS = { connections: 10, min: 2 };

const named = (id: string, connections: number, held?: number, wanted = 0, look = 1): NameCount => ({
  name: held === undefined ? `orders#${id}` : publishedName(`orders#${id}`, { held, wanted, look }),
  connections,
});
const view = (...rows: NameCount[]): ReturnType<typeof viewOf> => viewOf(rows, 'orders', 'orders');

function own(given: Partial<OwnStanding> = {}): OwnStanding {
  return { id: 'aaaaaa', ceiling: 2, used: 2, wanted: 10, most: 50, published: undefined, ...given };
}

describe('a look', () => {
  it('finds who is there, how many connections each has, and what each said last', () => {
    const found = view(
      named('bbbbbb', 2),
      named('aaaaaa', 1, 5, 4, 35),
      named('bbbbbb', 1, 7, 3, 36),
      named('bbbbbb', 1, 9, 9, 37),
      {
        name: 'orders',
        connections: 3,
      },
    );
    expect(found).toEqual({
      unmanaged: 3,
      processes: [
        { id: 'aaaaaa', connections: 1, publication: { held: 5, wanted: 4, look: 35 } },
        { id: 'bbbbbb', connections: 4, publication: { held: 9, wanted: 9, look: 37 } },
      ],
    });
  });

  it('claims what is free, and uses it when it looks again', () => {
    const first = decide(view(named('aaaaaa', 2)), own(), TERMS);
    expect(first).toMatchObject({ share: 10, ceiling: 2, held: 10 });
    const published = { held: 10, wanted: 10, look: 1 };
    const second = decide(view(named('aaaaaa', 2, 10, 10)), own({ published }), TERMS);
    expect(second).toMatchObject({ ceiling: 10, held: 10 });
  });

  it('uses no more of a claim than others have left, and takes the rest of it back', () => {
    const published = { held: 10, wanted: 10, look: 1 };
    const seen = view(named('aaaaaa', 2, 10, 10), named('bbbbbb', 1));
    expect(decide(seen, own({ published }), TERMS)).toMatchObject({ share: 8, ceiling: 8, held: 8 });
    const reluctant = view(named('aaaaaa', 2, 10, 10), named('bbbbbb', 6, 6, 2));
    expect(decide(reluctant, own({ published }), TERMS)).toMatchObject({ share: 8, ceiling: 4, held: 4 });
  });

  it('uses nothing of a claim that nobody can see', () => {
    const published = { held: 10, wanted: 10, look: 2 };
    expect(decide(view(named('aaaaaa', 2, 10, 10, 1)), own({ published }), TERMS)).toMatchObject({ ceiling: 2 });
  });

  it('leaves each what it holds until it has given it back, and comes down to its own share at once', () => {
    const holder = view(named('aaaaaa', 2, 2, 10), named('bbbbbb', 8, 8, 10));
    expect(decide(holder, own(), TERMS)).toMatchObject({ share: 5, ceiling: 2, held: 2 });
    const other = own({ id: 'bbbbbb', ceiling: 8, used: 8 });
    expect(decide(holder, other, TERMS)).toMatchObject({ share: 5, ceiling: 5, held: 8 });
  });

  it('counts a process that hasn’t said anything as one that has `min`', () => {
    expect(decide(view(named('aaaaaa', 2), named('bbbbbb', 1)), own(), TERMS)).toMatchObject({ share: 8, held: 8 });
  });

  it('takes what processes without a budget have from the budget', () => {
    const seen = view(named('aaaaaa', 2), { name: 'orders', connections: 4 });
    expect(decide(seen, own(), TERMS)).toMatchObject({ share: 6, held: 6 });
  });

  it('leaves one connection where there are more processes than connections', () => {
    const crowd = Array.from({ length: 20 }, (_, at) => named(`b0000${at.toString(36)}`, 1));
    expect(decide(view(named('zzzzzz', 1), ...crowd), own({ id: 'zzzzzz' }), TERMS)).toMatchObject({ ceiling: 1 });
  });

  it('gives room that isn’t enough for all to those without `min` first, and then in the order of ids', () => {
    const seen = view(
      named('aaaaaa', 1, 1, 9),
      named('bbbbbb', 2, 2, 9),
      named('cccccc', 1, 1, 9),
      named('dddddd', 4, 4, 0),
    );
    const terms = { connections: 12, min: 2 };
    const claim = (id: string, ceiling: number): number =>
      decide(seen, own({ id, ceiling, used: ceiling }), terms).held;
    // Shares are 4, 3, 3 and 2; dddddd still has two too many, so that 4 are free: one each for aaaaaa and cccccc first.
    expect([claim('aaaaaa', 1), claim('bbbbbb', 2), claim('cccccc', 1)]).toEqual([4, 2, 2]);
  });

  it('says when the server doesn’t show the process under its name', () => {
    expect(decide(view({ name: 'orders', connections: 1 }), own(), TERMS)).toMatchObject({ visible: false });
  });
});

describe('the standing of a process', () => {
  const usage = { used: 2, most: 8, again: false };

  it('publishes only what has changed', () => {
    const standing = new Standing('aaaaaa', TERMS);
    standing.demand(5);
    const { publication } = standing.looked(view(named('aaaaaa', 2)), usage);
    expect(publication).toEqual({ held: 8, wanted: 5, look: 1 });
    standing.tell(publication!);
    standing.demand(5);
    const seen = view(named('aaaaaa', 2, 8, 5));
    expect(standing.looked(seen, usage).publication).toBeUndefined();
    expect(standing.ceiling).toBe(8);
  });

  it('publishes the most that was wanted since the last look, and keeps to it when it looks again soon', () => {
    const standing = new Standing('aaaaaa', TERMS);
    standing.demand(6);
    standing.demand(1);
    expect(standing.looked(view(named('aaaaaa', 2)), usage).publication).toMatchObject({ wanted: 6 });
    const again = { ...usage, again: true };
    expect(standing.looked(view(named('aaaaaa', 2)), again).publication).toMatchObject({ wanted: 6 });
    expect(standing.looked(view(named('aaaaaa', 2)), usage).publication).toMatchObject({ wanted: 0 });
  });

  it('comes down to what can be seen when its publication is gone, and up again when it has published', () => {
    const standing = new Standing('aaaaaa', TERMS);
    const publish = (): void => {
      const { publication } = standing.looked(view(named('aaaaaa', 3, 8, 0, standing.published?.look)), {
        ...usage,
        used: 3,
      });
      if (publication !== undefined) standing.tell(publication);
    };
    publish();
    publish();
    expect(standing.ceiling).toBe(8);
    standing.unseen(3);
    expect(standing.ceiling).toBe(3);
    publish();
    publish();
    expect(standing.ceiling).toBe(8);
  });

  it('comes down to what is open when the server is full', () => {
    const standing = new Standing('aaaaaa', { connections: 10, min: 4 });
    standing.full(3);
    expect(standing.ceiling).toBe(3);
    standing.full(0);
    expect(standing.ceiling).toBe(1);
  });
});
