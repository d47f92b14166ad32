import { inspect } from 'node:util';
import type { QueryResult } from 'pg';

/** From here on the ids of types and tables are a database's own. */
const FIRST_OWN_ID = 16_384;

/** What a caller sees of one query, as a text that tells every difference: values, classes, and the order of keys. */
export class Outcomes {
  readonly #ids = new Map<number, number>();

  /** Ids that a database gives out differ from run to run: they count by the order in which they come. */
  #id(id: number): number | string {
    if (id < FIRST_OWN_ID) return id;
    let number = this.#ids.get(id);
    if (number === undefined) this.#ids.set(id, (number = this.#ids.size + 1));
    return `own ${number}`;
  }

  ofResult(result: QueryResult | readonly QueryResult[]): string {
    if (Array.isArray(result)) return result.map((one: QueryResult) => this.ofResult(one)).join('\n');
    const { command, rowCount, oid, rows, fields, constructor } = result as QueryResult;
    const described = fields.map((field) => [
      field.constructor.name,
      { ...field, tableID: this.#id(field.tableID), dataTypeID: this.#id(field.dataTypeID) },
    ]);
    return shown({ class: constructor.name, command, rowCount, oid, fields: described, rows });
  }

  ofError(error: unknown): string {
    if (!(error instanceof Error)) return shown({ thrown: error });
    // How long the message was, and where it was made in the server's source: of no use to a caller.
    const {
      length: _length,
      file: _file,
      line: _line,
      routine: _routine,
      ...own
    } = error as unknown as Record<string, unknown>;
    const message = error.message.replaceAll(/\b\d{5,}\b/g, (id) => String(this.#id(Number(id))));
    return shown({ class: error.constructor.name, name: error.name, message, ...own });
  }
}

function shown(value: object): string {
  return inspect(value, {
    depth: Infinity,
    maxArrayLength: Infinity,
    maxStringLength: Infinity,
    breakLength: Infinity,
    compact: true,
    getters: false,
  });
}
