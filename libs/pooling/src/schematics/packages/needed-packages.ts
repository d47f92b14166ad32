import { allows } from './version-range.js';

/** What decides which packages an application needs, and which of their versions fit. */
export interface Surroundings {
  /** The Node that runs, such as `20.20.2`. */
  readonly node: string;
  /** What package.json says of it, if it does. */
  readonly engines: string | undefined;
  /** Nest's major version. */
  readonly nest: number;
  /** Whether the application is ES modules. */
  readonly isEsm: boolean;
}

/** The major versions of Nest that the library works with. */
export const NEST_MAJORS = [11, 12];

/** The parts of the library that are on. */
export interface Parts {
  readonly database: boolean;
  readonly http: boolean;
  readonly health: boolean;
  readonly metrics: boolean;
}

/** A package that the application needs. */
export interface NeededPackage {
  readonly name: string;
  /** What package.json gets. */
  readonly range: string;
  /** The versions that the library works with, each `[lowest major, minor]` of one major. */
  readonly works: readonly (readonly [major: number, minor: number])[];
  readonly isForDevelopment: boolean;
}

/** Whether `version` is at least `major.minor`. */
function isAtLeast(version: string, major: number, minor: number): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/** The oldest Node that the application has to run on: the lowest that `engines` allows, or the one that runs. */
function oldestNode({ node, engines }: Surroundings): string {
  const allowed = engines?.match(/\d+(?:\.\d+)*/g) ?? [];
  return [node, ...allowed].reduce((oldest, each) => {
    const [major = 0, minor = 0] = each.split('.').map(Number);
    return isAtLeast(oldest, major, minor) ? each : oldest;
  });
}

/** The packages that the library needs beside those that every Nest application has. */
export function packagesFor(parts: Parts, surroundings: Surroundings): NeededPackage[] {
  const node = oldestNode(surroundings);
  const { nest } = surroundings;
  // Kysely 0.29 is an ES module only, which Jest can't load, and needs Node 22; undici 8 needs Node 22.19.
  const kysely = surroundings.isEsm && isAtLeast(node, 22, 0) ? '^0.29.0' : '^0.28.0';
  const undici = isAtLeast(node, 22, 19) ? '^8.0.0' : '^7.30.0';
  const needed: [boolean, string, string, NeededPackage['works'], boolean?][] = [
    [
      parts.database,
      'kysely',
      kysely,
      [
        [0, 28],
        [0, 29],
      ],
    ],
    [parts.database, 'pg', '^8.16.0', [[8, 16]]],
    [parts.database, '@types/pg', '^8.15.0', [[8, 0]], true],
    [
      parts.http,
      'undici',
      undici,
      [
        [7, 30],
        [8, 0],
      ],
    ],
    [parts.health, '@nestjs/terminus', `^${nest}.0.0`, [[nest, 0]]],
    [parts.metrics, '@willsoto/nestjs-prometheus', '^6.0.0', [[6, 0]]],
    [parts.metrics, 'prom-client', '^15.0.0', [[15, 0]]],
  ];
  return needed
    .filter(([isNeeded]) => isNeeded)
    .map(([, name, range, works, isForDevelopment = false]) => ({ name, range, works, isForDevelopment }));
}

/** Whether a package that is there already works with the library: `false` only where its version or range tells that it can't. */
export function fits({ works }: NeededPackage, version: string): boolean {
  return allows(version, works) !== false;
}
