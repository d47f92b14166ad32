import type { Client, FieldDef } from 'pg';
import { optionalPackage } from '../core/optional-package.js';
import { pg, pgPackage } from './pg.js';
import { loadPgUtils, loadTextParsers, type TextParser } from './pg-package.cjs';

interface PgUtils {
  readonly prepareValue: (value: unknown) => string | Buffer | null;
}

const { prepareValue: preparePgValue } = optionalPackage<PgUtils>('pg', loadPgUtils()).module;

/** A parameter as pg sends it; throws what the value's own `toPostgres` throws. */
export function prepareValue(value: unknown): string | Buffer | null {
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return String(value);
  // What isn't a string already was made one or left as bytes; `undefined` is null.
  return preparePgValue(value) ?? null;
}

const builtinParsers = new Map<number, TextParser>();
loadTextParsers().init((dataTypeId, parser) => builtinParsers.set(dataTypeId, parser));
/** No type has this id, so that nobody sets a parser for it. */
const UNKNOWN_TYPE = -1;
const leavesText =
  pgPackage.problem === undefined ? (pg.types.getTypeParser(UNKNOWN_TYPE as never, 'text') as TextParser) : undefined;

/** The parser that pg itself has for the text of a type. */
export function builtinTextParser(dataTypeId: number): TextParser | undefined {
  return builtinParsers.get(dataTypeId);
}

/** Whether a parser is pg's for unknown types, which returns the text itself. */
export function parsesNothing(parser: TextParser): boolean {
  return parser === leavesText;
}

/** The type parsers that were set on one client, by the ids of their types. */
export interface TypeParsers {
  text: Readonly<Record<number, unknown>>;
  binary: Readonly<Record<number, unknown>>;
}

/** The type parsers of a client: its own, and those beneath them. */
interface LayeredTypeParsers extends TypeParsers {
  readonly _types: { getTypeParser(dataTypeId: number, format: 'text'): unknown };
}

/** `_types` of a `pg.Client`, which `@types/pg` doesn't have. */
function layersOf(client: Client): LayeredTypeParsers {
  return (client as unknown as { readonly _types: LayeredTypeParsers })._types;
}

/** The present parser of a client for the text of a type. */
export function textParserOf(client: Client, dataTypeId: number): TextParser {
  const { text, _types } = layersOf(client);
  return (text[dataTypeId] ?? _types.getTypeParser(dataTypeId, 'text')) as TextParser;
}

/** Whether each type still has its parser on a client: as `getTypeParser` says, without its four calls. */
export function hasTextParsers(
  client: Client,
  dataTypeIds: readonly number[],
  parsers: readonly TextParser[],
): boolean {
  const { text, _types } = layersOf(client);
  for (let at = 0; at < dataTypeIds.length; at++) {
    const dataTypeId = dataTypeIds[at] as number;
    if ((text[dataTypeId] ?? _types.getTypeParser(dataTypeId, 'text')) !== parsers[at]) return false;
  }
  return true;
}

/** A copy of the type parsers that are set on a client. */
export function typeParsersOf(client: Client): TypeParsers {
  const { text, binary } = layersOf(client);
  return { text: { ...text }, binary: { ...binary } };
}

/** Gives a client the type parsers that it had before. */
export function restoreTypeParsers(client: Client, { text, binary }: TypeParsers): void {
  Object.assign(layersOf(client), { text, binary });
}

/** How pg makes the description of a column. */
type FieldConstructor = new (
  name: string,
  tableID: number,
  columnID: number,
  dataTypeID: number,
  dataTypeSize: number,
  dataTypeModifier: number,
  format: string,
) => FieldDef;

/** Copies descriptions of columns, so that a caller may change its own. */
export function copyFields(fields: readonly FieldDef[]): FieldDef[] {
  const copies: FieldDef[] = [];
  for (const field of fields) {
    const { name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier, format } = field;
    const Field = field.constructor as FieldConstructor;
    copies.push(new Field(name, tableID, columnID, dataTypeID, dataTypeSize, dataTypeModifier, format));
  }
  return copies;
}
