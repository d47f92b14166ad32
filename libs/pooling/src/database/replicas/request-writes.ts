import { presentRequest } from '../../core/request-context.js';
import { Written } from './written.js';

/** What a request brings along that was written elsewhere. */
export interface BroughtAlong {
  /** The name of a database in tokens. */
  readonly database: string;
  readonly written: Written;
}

/** Whose writes are told apart: the pool of a database. */
export interface WrittenDatabase {
  readonly nameInTokens: string;
}

/** What was written within a request, of each database. */
export class RequestWrites {
  readonly #outer: RequestWrites | undefined;
  readonly #brought: BroughtAlong | undefined;
  #databases: Map<WrittenDatabase, Written> | undefined = undefined;

  /** @param outer the request that this is a part of: what is written here was written there as well. */
  constructor(outer?: RequestWrites, brought?: BroughtAlong) {
    this.#outer = outer;
    this.#brought = brought;
  }

  /** Where a write of a database is noted: here, and in the requests around. */
  noted(database: WrittenDatabase): Written[] {
    const own = this.#own(database);
    return this.#outer === undefined ? [own] : [own, ...this.#outer.noted(database)];
  }

  /** What a read of a database must see. */
  known(database: WrittenDatabase): Written[] {
    const found = this.#outer?.known(database) ?? [];
    const own = this.#databases?.get(database);
    if (own !== undefined) found.push(own);
    if (this.#brought?.database === database.nameInTokens) found.push(this.#brought.written);
    return found;
  }

  #own(database: WrittenDatabase): Written {
    const databases = (this.#databases ??= new Map());
    let written = databases.get(database);
    if (written === undefined) databases.set(database, (written = new Written()));
    return written;
  }
}

/** What was written within the request that runs now; `undefined`: it is no request. */
export function presentWrites(): RequestWrites | undefined {
  return presentRequest()?.writes as RequestWrites | undefined;
}
