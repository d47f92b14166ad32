import type { FieldDef } from 'pg';
import { columnReader, type ColumnReader } from './column-readers.js';

/** A row: what its columns are called, and what is in them. */
export type Row = Record<string, unknown>;

type TextParser = (text: string) => unknown;

/** What `pg` parses a type with on a connection. */
export interface TypeParserSource {
  typeParser(dataTypeId: number): TextParser;
}

/** What the rows of a prepared statement look like: told by the server once, because it can't change under its plan. */
export class RowShape {
  readonly fields: FieldDef[];
  readonly #names: readonly string[];
  readonly #readers: readonly ColumnReader[];
  readonly #empty: Readonly<Row>;
  /** The types of the columns, each once, and what they are parsed with. */
  readonly #types: readonly number[];
  readonly #parsers: readonly TextParser[];

  constructor(fields: FieldDef[], source: TypeParserSource) {
    this.fields = fields;
    this.#types = [...new Set(fields.map(({ dataTypeID }) => dataTypeID))];
    this.#parsers = this.#types.map((dataTypeId) => source.typeParser(dataTypeId));
    const parsers = new Map(this.#types.map((dataTypeId, at) => [dataTypeId, this.#parsers[at]] as const));
    this.#names = fields.map(({ name }) => name);
    this.#readers = fields.map(({ dataTypeID }) => columnReader(dataTypeID, parsers.get(dataTypeID) as TextParser));
    this.#empty = Object.fromEntries(this.#names.map((name) => [name, null]));
  }

  /** The same rows, read with the parsers of now: somebody may have set others since. */
  current(source: TypeParserSource): RowShape {
    const types = this.#types;
    for (let at = 0; at < types.length; at++) {
      if (source.typeParser(types[at] as number) !== this.#parsers[at]) return new RowShape(this.fields, source);
    }
    return this;
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
