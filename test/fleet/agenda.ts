/** What is to happen when, under a clock that only moves from one event to the next. */
export class Agenda {
  now = 0;
  /** When the last process that is to start does. */
  lastStartAt = 0;
  /** A heap: the next event first. */
  readonly #events: { readonly at: number; readonly order: number; readonly run: () => void }[] = [];
  #count = 0;

  /** Runs something later. */
  after(ms: number, run: () => void): void {
    const event = { at: this.now + ms, order: this.#count++, run };
    const events = this.#events;
    let index = events.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, events[parent]!)) break;
      events[index] = events[parent]!;
      index = parent;
    }
    events[index] = event;
  }

  /** The same for the start of a process. */
  start(ms: number, run: () => void): void {
    this.lastStartAt = Math.max(this.lastStartAt, this.now + ms);
    this.after(ms, run);
  }

  /** Runs all that is due until then. */
  runUntil(time: number): void {
    while (this.#events.length > 0 && this.#events[0]!.at <= time) {
      const { at, run } = this.#shift();
      this.now = at;
      run();
    }
    this.now = Math.max(this.now, time);
  }

  #shift(): { readonly at: number; readonly run: () => void } {
    const events = this.#events;
    const first = events[0]!;
    const last = events.pop()!;
    if (events.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= events.length) break;
      if (child + 1 < events.length && isBefore(events[child + 1]!, events[child]!)) child++;
      if (!isBefore(events[child]!, last)) break;
      events[index] = events[child]!;
      index = child;
    }
    events[index] = last;
    return first;
  }
}

function isBefore(one: { at: number; order: number }, other: { at: number; order: number }): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
