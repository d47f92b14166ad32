import { decide, type FleetTerms, type Verdict } from './claim.js';
import type { FleetView } from './fleet-view.js';
import type { Publication } from './published-name.js';

/** What a process has at the time of a look. */
export interface Usage {
  /** Connections it has, those being opened included and those being closed not. */
  readonly used: number;
  /** The most connections its options allow. */
  readonly most: number;
  /** Whether this is the early look that confirms a claim. */
  readonly again: boolean;
}

/** What one process knows of its place in the fleet: its ceiling, its demand, and what it has published. */
export class Standing {
  readonly id: string;
  readonly #terms: FleetTerms;
  #ceiling: number;
  #looks = 0;
  #published: Publication | undefined = undefined;
  /** The largest demand since the last look. */
  #peak = 0;
  #wanted = 0;

  constructor(id: string, terms: FleetTerms) {
    this.id = id;
    this.#terms = terms;
    this.#ceiling = terms.min;
  }

  /** The most connections it may have now. */
  get ceiling(): number {
    return this.#ceiling;
  }

  /** Its last publication, while the server shows it. */
  get published(): Publication | undefined {
    return this.#published;
  }

  /** Notes how many connections it would use now; the largest number since the last look is published. */
  demand(connections: number): void {
    this.#peak = Math.max(this.#peak, connections);
  }

  /** Takes a look's view: sets the ceiling, and gives what to publish, if anything. */
  looked(view: FleetView, usage: Usage): Verdict & { readonly publication: Publication | undefined } {
    const { used, most } = usage;
    this.#noteLoss(view, used);
    const wanted = this.#demanded(usage);
    const own = { id: this.id, ceiling: this.#ceiling, used, wanted, most, published: this.#published };
    const verdict = decide(view, own, this.#terms);
    this.#ceiling = verdict.ceiling;
    const { held } = verdict;
    const changed = this.#published?.held !== held || this.#published.wanted !== wanted;
    return { ...verdict, publication: changed ? { held, wanted, look: ++this.#looks } : undefined };
  }

  /** A publication was written: everybody can read it from now on. */
  tell(publication: Publication): void {
    this.#published = publication;
  }

  /**
   * The connection that carried the publication is gone, or has another name. Others now count its connections, or `min` where it
   * has fewer: it may have no more than that.
   */
  unseen(used: number): void {
    this.#published = undefined;
    this.#ceiling = Math.min(this.#ceiling, Math.max(used, this.#terms.min));
  }

  /** The server takes no more connections than these. */
  full(open: number): void {
    this.#ceiling = Math.max(1, Math.min(this.#ceiling, open));
  }

  /** A short peak of demand counts until the next regular look. */
  #demanded({ most, again }: Usage): number {
    this.#wanted = Math.min(most, again ? Math.max(this.#wanted, this.#peak) : this.#peak);
    if (!again) this.#peak = 0;
    return this.#wanted;
  }

  #noteLoss({ processes }: FleetView, used: number): void {
    if (this.#published === undefined) return;
    const seen = processes.find(({ id }) => id === this.id);
    if (seen?.publication?.look !== this.#published.look) this.unseen(used);
  }
}
