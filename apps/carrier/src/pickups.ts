import { Injectable } from '@nestjs/common';

/** The carrier remembers no more than these. */
const MOST = 10_000;

/** What customers have announced, by their own references. */
@Injectable()
export class Pickups {
  readonly #references = new Set<string>();

  add(reference: string): void {
    this.#references.add(reference);
    const [oldest] = this.#references;
    if (this.#references.size > MOST && oldest !== undefined) this.#references.delete(oldest);
  }

  has(reference: string): boolean {
    return this.#references.has(reference);
  }
}
