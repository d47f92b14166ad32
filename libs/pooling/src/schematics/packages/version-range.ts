/** A version as far as it matters here. */
type Version = readonly [major: number, minor: number];

/** Versions from the first, without the last. */
interface Span {
  readonly from: Version;
  readonly to: Version;
}

const END: Version = [Infinity, 0];

function isBefore([major, minor]: Version, [otherMajor, otherMinor]: Version): boolean {
  return major < otherMajor || (major === otherMajor && minor < otherMinor);
}

/** What one comparator allows, such as `^7.30.0`, `>=7` or `7.x`. */
function spanOf(comparator: string): Span | undefined {
  const [, operator, first, second] = /^([\^~]|[<>]=?|=)?v?(\d+)(?:\.(\d+|[x*]))?/i.exec(comparator) ?? [];
  if (first === undefined) return undefined;
  const major = Number(first);
  const hasMinor = second !== undefined && /\d/.test(second);
  const minor = hasMinor ? Number(second) : 0;
  const at: Version = [major, minor];
  const behind: Version = hasMinor ? [major, minor + 1] : [major + 1, 0];
  // A patch counts as little as the minor version that it belongs to.
  const isWithin = /\.\d+\.(?:[1-9]|\d{2})/.test(comparator);
  if (operator === '>=') return { from: at, to: END };
  if (operator === '>') return { from: hasMinor ? at : behind, to: END };
  if (operator === '<') return { from: [0, 0], to: isWithin ? behind : at };
  if (operator === '<=') return { from: [0, 0], to: behind };
  if (operator === '^' && major > 0) return { from: at, to: [major + 1, 0] };
  return { from: at, to: behind };
}

/** What a range such as `^11.0.0 || >=12 <13` allows; `undefined` for what names no version: `latest`, `catalog:`, `workspace:*`. */
function spansOf(range: string): Span[] | undefined {
  // `npm:@nestjs/core@^11.0.0` is that package under another name; a workspace's package has the range behind the colon.
  const bare = range.trim().replace(/^npm:.+@|^workspace:/, '');
  if (/:|\//.test(bare)) return undefined;
  const spans: Span[] = [];
  for (const alternative of bare.split('||')) {
    const comparators = alternative.replace(/(\S+)\s+-\s+(\S+)/, '>=$1 <=$2').replaceAll(/([<>=^~])\s+/g, '$1');
    const given = comparators.trim().split(/\s+/).map(spanOf);
    if (given.some((span) => span === undefined)) return undefined;
    spans.push(
      (given as Span[]).reduce((one, other) => ({
        from: isBefore(one.from, other.from) ? other.from : one.from,
        to: isBefore(one.to, other.to) ? one.to : other.to,
      })),
    );
  }
  return spans;
}

/**
 * Whether a range allows one of the versions that work, each the lowest of its major (below 1, of its minor) version.
 * A single version is a range, too. `undefined` when the range names no version.
 */
export function allows(range: string, works: readonly Version[]): boolean | undefined {
  return spansOf(range)?.some(({ from, to }) =>
    works.some(([major, minor]) => {
      const end: Version = major === 0 ? [major, minor + 1] : [major + 1, 0];
      return isBefore(from, end) && isBefore([major, minor], to);
    }),
  );
}

/** The highest of some major versions that a range allows, else the one that it begins with; `undefined` when it names none. */
export function majorOf(range: string, known: readonly number[]): number | undefined {
  const spans = spansOf(range);
  return spans && (known.toSorted((a, b) => b - a).find((major) => allows(range, [[major, 0]])) ?? spans[0]?.from[0]);
}
