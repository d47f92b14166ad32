import { Waiter, WaitQueue } from './wait-queue.js';

class Place extends Waiter {
  constructor(readonly name: string) {
    super();
  }
}

function queueOf(...names: string[]): { queue: WaitQueue<Place>; places: Place[] } {
  const queue = new WaitQueue<Place>();
  const places = names.map((name) => new Place(name));
  for (const place of places) queue.push(place);
  return { queue, places };
}

describe('WaitQueue', () => {
  it('serves in order of arrival', () => {
    const { queue } = queueOf('a', 'b', 'c');
    expect([queue.shift()?.name, queue.shift()?.name, queue.shift()?.name, queue.shift()]).toEqual([
      'a',
      'b',
      'c',
      undefined,
    ]);
    expect(queue.length).toBe(0);
  });

  it('lets anybody leave from the front, the middle and the end', () => {
    const { queue, places } = queueOf('a', 'b', 'c', 'd');
    const [first, second, , last] = places as [Place, Place, Place, Place];
    for (const place of [second, first, last]) expect(queue.remove(place)).toBe(true);
    expect([...queue].map((place) => place.name)).toEqual(['c']);
    expect(queue.first).toBe(queue.last);
    expect(first.queued).toBe(false);
  });

  it('does not let anybody leave twice, or out of another queue', () => {
    const { queue, places } = queueOf('a');
    const other = queueOf('z').queue;
    const [place] = places as [Place];
    expect(other.remove(place)).toBe(false);
    expect(queue.remove(place)).toBe(true);
    expect(queue.remove(place)).toBe(false);
  });

  it('puts somebody back to the front', () => {
    const { queue } = queueOf('a', 'b');
    const taken = queue.shift() as Place;
    queue.unshift(taken);
    expect(queue.first).toBe(taken);
    expect(queue.pop()?.name).toBe('b');
    expect(queue.pop()?.name).toBe('a');
    queue.unshift(taken);
    expect(queue.last).toBe(taken);
  });

  it('puts somebody in front of another one: at the front, in the middle, at the end', () => {
    const { queue, places } = queueOf('b', 'd');
    const [second, fourth] = places as [Place, Place];
    queue.insertBefore(new Place('a'), second);
    queue.insertBefore(new Place('c'), fourth);
    queue.insertBefore(new Place('e'), undefined);
    expect([...queue].map((place) => place.name)).toEqual(['a', 'b', 'c', 'd', 'e']);
    const backwards = Array.from({ length: 5 }, () => queue.pop()?.name);
    expect(backwards).toEqual(['e', 'd', 'c', 'b', 'a']);
    expect(queue.length).toBe(0);
  });

  it('refuses somebody who stands in a queue already', () => {
    const { queue, places } = queueOf('a');
    expect(() => queue.push(places[0] as Place)).toThrow('bug:');
  });

  it('may lose the one just given while it is looked through', () => {
    const { queue } = queueOf('a', 'b', 'c');
    const seen: string[] = [];
    for (const place of queue) {
      seen.push(place.name);
      queue.remove(place);
    }
    expect(seen).toEqual(['a', 'b', 'c']);
  });
});
