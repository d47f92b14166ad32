/** Tags for all statements of a pool, by name. */
export type QueryComments = Readonly<Record<string, string>>;

/** How many tags there may be. */
export const MOST_TAGS = 16;

/** Tags as a comment in sqlcommenter's form (https://google.github.io/sqlcommenter/spec/): an empty text without tags. */
export function commentOf(tags: QueryComments | undefined): string {
  const pairs = Object.entries(tags ?? {})
    .map(([name, value]) => `${encoded(name)}='${encoded(value)}'`)
    .toSorted((one, other) => (one < other ? -1 : 1));
  return pairs.length === 0 ? '' : `/*${pairs.join(',')}*/`;
}

/** Escapes everything that could end a text or a comment. */
function encoded(part: string): string {
  return encodeURIComponent(part).replaceAll("'", '%27');
}
