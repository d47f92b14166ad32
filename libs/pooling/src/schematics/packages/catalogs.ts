/** Where a workspace may keep the ranges that its packages' `catalog:` stands for: pnpm and Yarn each have a file. */
const FILES = ['pnpm-workspace.yaml', '.yarnrc.yml'];

const LINE = /^( *)(?:'([^']+)'|"([^"]+)"|([^\s'"#:-][^:#]*?)) *:(?: +(.*))?$/;

/** The text of a value: without quotes, and without the comment behind it. */
function textOf(value: string): string {
  const quoted = /^(?:'([^']*)'|"([^"]*)")/.exec(value);
  return quoted ? (quoted[1] ?? quoted[2])! : value.replace(/(?:^| +)#.*$/, '').trim();
}

/** The values of a YAML file by where they stand, such as `catalogs nest11 kysely`, as far as it is written in blocks. */
function entriesOf(text: string): Map<string, string> {
  const entries = new Map<string, string>();
  const within: { readonly indent: number; readonly key: string }[] = [];
  for (const line of text.split(/\r?\n/)) {
    const [, indents, single, double, bare, value = ''] = LINE.exec(line) ?? [];
    const key = single ?? double ?? bare;
    if (indents === undefined || key === undefined) continue;
    while (within.length > 0 && within.at(-1)!.indent >= indents.length) within.pop();
    within.push({ indent: indents.length, key });
    const given = textOf(value);
    if (given !== '') entries.set(within.map((each) => each.key).join(' '), given);
  }
  return entries;
}

/** The ranges that `catalog:` and `catalog:<name>` stand for in a workspace. */
export class Catalogs {
  private readonly entries: ReadonlyMap<string, string>;

  /** @param read gives the text of a file of the workspace's root */
  constructor(read: (file: string) => string | undefined) {
    this.entries = new Map(FILES.flatMap((file) => [...entriesOf(read(file) ?? '')]));
  }

  /** What a range stands for; the range itself where it is of no catalog, or of none that is known. */
  resolve(name: string, range: string): string {
    const catalog = /^catalog:(.*)$/.exec(range.trim())?.[1]?.trim();
    if (catalog === undefined) return range;
    const own = this.entries.get(`catalogs ${catalog || 'default'} ${name}`);
    return (catalog === '' || catalog === 'default' ? (this.entries.get(`catalog ${name}`) ?? own) : own) ?? range;
  }

  /** What the catalog without a name has for a package. */
  rangeOf(name: string): string | undefined {
    const range = this.resolve(name, 'catalog:');
    return range === 'catalog:' ? undefined : range;
  }
}
