import type { FieldDef } from 'pg';
import { columnReader, type ColumnReader } from './column-readers.js';

/** A row: what its columns are called, and what is in them. */
export type Row = Record<string, unknown>;

/** What the rows of a prepared statement look like: told by the server once, because it can't change under its plan. */
export class RowShape {
  readonly fields: FieldDef[];
  readonly #names: readonly string[];
  readonly #readers: readonly ColumnReader[];
  readonly #empty: Readonly<Row>;

  /** @param parserOf what `pg` parses a type with on this connection. */
  constructor(fields: FieldDef[], parserOf: (dataTypeId: number) => (text: string) => unknown) {
    this.fields = fields;
    this.#names = fields.map(({ name }) => name);
    this.#readers = fields.map(({ dataTypeID }) => columnReader(dataTypeID, parserOf(dataTypeID)));
    this.#empty = Object.fromEntries(this.#names.map((name) => [name, null]));
  }

  /** Reads the body of a `DataRow`, which starts at `at`; throws what a parser throws. */
  read(bytes: Buffer, at: number): Row {
    const row: Row = { ...this.#empty };
    const readers = this.#readers;
    const names = this.#names;
    // The number of columns comes first, and is known.
    let start = at + 2;
    for (let column = 0; column < readers.length; column++) {
      const length = bytes.readInt32BE(start);
      start += 4;
      if (length === -1) {
        // A later column of the same name counts.
        row[names[column] as string] = null;
        continue;
      }
      row[names[column] as string] = (readers[column] as ColumnReader)(bytes, start, start + length);
      start += length;
    }
    return row;
  }
}
