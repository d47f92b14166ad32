/** What became of requests. Each that was sent is in exactly one of the other figures. */
export interface LoadReport {
  readonly sent: number;
  readonly served: number;
  /** Requests that failed, by what was wrong. */
  readonly failures: Readonly<Record<string, number>>;
  /** Requests that a process had to answer when it was killed. */
  readonly lost: number;
}

/** Counts requests from when they are sent until it is known what became of them. */
export class Tally {
  #sent = 0;
  #served = 0;
  #lost = 0;
  readonly #failures: Record<string, number> = {};
  #underway = 0;
  #servedNext: ((at: number) => void)[] = [];
  #settled: (() => void) | undefined = undefined;

  /** A request is sent. */
  sent(): void {
    this.#sent++;
    this.#underway++;
  }

  /** One was answered. */
  served(): void {
    this.#served++;
    const at = performance.now();
    for (const tell of this.#servedNext.splice(0)) tell(at);
    this.#over();
  }

  /** One failed. */
  failed(what: string): void {
    this.#failures[what] = (this.#failures[what] ?? 0) + 1;
    this.#over();
  }

  /** One was with a process when that was killed. */
  lost(): void {
    this.#lost++;
    this.#over();
  }

  /** When the next one is answered, by `performance.now()`. */
  nextServed(): Promise<number> {
    return new Promise((resolve) => this.#servedNext.push(resolve));
  }

  /** What became of all that were sent, once that is known of the last of them. No more may be sent then. */
  async report(): Promise<LoadReport> {
    if (this.#underway > 0) await new Promise<void>((resolve) => (this.#settled = resolve));
    return { sent: this.#sent, served: this.#served, failures: this.#failures, lost: this.#lost };
  }

  #over(): void {
    if (--this.#underway === 0) this.#settled?.();
  }
}

/** What isn't as it should be with requests of which so many may be lost. */
export function wrongWith(what: string, { sent, served, failures, lost }: LoadReport, mayBeLost = 0): string[] {
  const wrong: string[] = [];
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0);
  if (failed > 0) wrong.push(`${what}: requests failed: ${JSON.stringify(failures)}`);
  if (lost > mayBeLost) wrong.push(`${what}: ${lost} requests were lost, where ${mayBeLost} may be`);
  if (served + failed + lost !== sent)
    wrong.push(`${what}: of ${sent} requests ${sent - served - failed - lost} are missing`);
  return wrong;
}
