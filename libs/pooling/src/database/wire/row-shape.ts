import type { FieldDef } from 'pg';
import { columnReader, type ColumnReader } from './column-readers.js';
import { readCount } from './message-form.js';
import { malformed, otherColumns } from './protocol-error.js';
import { DATA_ROW } from './server-message.js';

/** A row: values by the names of its columns. */
export type Row = Record<string, unknown>;

type TextParser = (text: string) => unknown;

/** What `pg` parses a type with on a connection. */
export interface TypeParserSource {
  typeParser(dataTypeId: number): TextParser;
  /** Whether each type still has its parser. One call for all types, because each query asks. */
  parsesBy(dataTypeIds: readonly number[], parsers: readonly TextParser[]): boolean;
}

/**
 * The columns of a prepared statement's rows. The server describes them once, because they can't change while the statement
 * lives. A pooler may silently prepare it again on another connection: then they are described with each use.
 */
export class RowShape {
  readonly fields: FieldDef[];
  /** The server's description, as it came. */
  readonly description: Buffer;
  readonly #names: readonly string[];
  readonly #readers: readonly ColumnReader[];
  readonly #empty: Readonly<Row>;
  /** The types of the columns, each once, and what they are parsed with. */
  readonly #types: readonly number[];
  readonly #parsers: readonly TextParser[];

  constructor(fields: FieldDef[], description: Buffer, source: TypeParserSource) {
    this.fields = fields;
    this.description = description;
    this.#types = [...new Set(fields.map(({ dataTypeID }) => dataTypeID))];
    this.#parsers = this.#types.map((dataTypeId) => source.typeParser(dataTypeId));
    const parsers = new Map(this.#types.map((dataTypeId, at) => [dataTypeId, this.#parsers[at]] as const));
    this.#names = fields.map(({ name }) => name);
    this.#readers = fields.map(({ dataTypeID }) => columnReader(dataTypeID, parsers.get(dataTypeID) as TextParser));
    this.#empty = Object.fromEntries(this.#names.map((name) => [name, null]));
  }

  /** The same columns with the present parsers: others may have been set since. */
  current(source: TypeParserSource): RowShape {
    if (source.parsesBy(this.#types, this.#parsers)) return this;
    return new RowShape(this.fields, this.description, source);
  }

  /** Reads the body of a `DataRow`, from `at` to before `end`; throws what a parser throws, or that it is no such row. */
  read(bytes: Buffer, at: number, end: number): Row {
    const row: Row = { ...this.#empty };
    const readers = this.#readers;
    const names = this.#names;
    const columns = readers.length;
    let start = at + 2;
    if (start > end) throw malformed(DATA_ROW);
    if (readCount(bytes, at) !== columns) throw otherColumns(readCount(bytes, at), columns);
    for (let column = 0; column < columns; column++) {
      if (start + 4 > end) throw malformed(DATA_ROW);
      const length = bytes.readInt32BE(start);
      start += 4;
      if (length === -1) {
        // Of several columns with one name, the last one counts.
        row[names[column] as string] = null;
        continue;
      }
      const next = start + length;
      if (length < 0 || next > end) throw malformed(DATA_ROW);
      row[names[column] as string] = (readers[column] as ColumnReader)(bytes, start, next);
      start = next;
    }
    if (start !== end) throw malformed(DATA_ROW);
    return row;
  }
}
