/** What came of loading a package that may not be there. */
export type LoadedPackage<Module> = { readonly module: Module } | { readonly error: unknown };

/** A package that the library needs only for a part of what it does. */
export interface OptionalPackage<Module> {
  readonly name: string;
  /** What the package exports. Where it can't be loaded: stand-ins, which can be extended and throw when they are called. */
  readonly module: Module;
  /** Why the package can't be used and what to do about it; `undefined` where it can be. */
  readonly problem: string | undefined;
}

/** Node's code, its code in ES modules, and Yarn's. */
const MISSING_CODES: ReadonlySet<unknown> = new Set(['MODULE_NOT_FOUND', 'ERR_MODULE_NOT_FOUND']);
/** Without a code: what a bundle leaves in the place of a package, and what Jest makes of Yarn's error. */
const MISSING_WORDS = /^Dynamic require of | tried to access /;

/** Whether an error says that this very package isn't installed, and not that one of its own dependencies isn't. */
export function isMissingPackage(error: unknown, name: string): boolean {
  const { code, message } = (error ?? {}) as { readonly code?: unknown; readonly message?: unknown };
  const text = String(message).split('\n', 1)[0] as string;
  return (MISSING_CODES.has(code) || MISSING_WORDS.test(text)) && text.includes(name);
}

/**
 * A package that may not be there: the application runs without it as long as nothing asks for what it does.
 *
 * @param install what `npm install` is to be given, when it isn't the name alone.
 */
export function optionalPackage<Module extends object>(
  name: string,
  loaded: LoadedPackage<object>,
  install = name,
): OptionalPackage<Module> {
  if ('module' in loaded) return { name, module: loaded.module as Module, problem: undefined };
  const problem = problemOf(name, install, loaded.error);
  return { name, module: standIn(problem) as Module, problem };
}

/** What is wrong with packages that a part of the options needs, in words that follow the part's name. */
export function packageProblems(part: string, ...packages: readonly OptionalPackage<unknown>[]): string[] {
  return packages.flatMap(({ problem }) => (problem === undefined ? [] : [`${part}: ${problem}`]));
}

/**
 * The same package, refused where it is older than what the library needs.
 *
 * @param version the version that is installed
 * @param oldest the oldest one that will do
 */
export function atLeast<Module extends object>(
  of: OptionalPackage<Module>,
  version: string,
  oldest: string,
  install: string,
): OptionalPackage<Module> {
  if (of.problem !== undefined || isAtLeast(version, oldest)) return of;
  const problem = `needs ${of.name} ${oldest} or later, and ${version} is installed: npm install ${install}`;
  return { name: of.name, module: standIn(problem) as Module, problem };
}

function problemOf(name: string, install: string, error: unknown): string {
  if (isMissingPackage(error, name)) return `needs ${name}, which isn't installed: npm install ${install}`;
  const reason = String((error as { readonly message?: unknown } | undefined)?.message ?? error).split('\n', 1)[0];
  return `needs ${name}, which can't be loaded on Node ${process.versions.node} (${reason}): npm install ${install}`;
}

function isAtLeast(version: string, oldest: string): boolean {
  const [have, want] = [version, oldest].map((each) => each.split('.').map(Number)) as [number[], number[]];
  for (const [at, part] of want.entries()) if (have[at] !== part) return (have[at] ?? 0) > part;
  return true;
}

/** Everything that could be asked of a package: classes to extend, functions to call. */
function standIn(problem: string): object {
  const members = new Map<string, () => never>();
  return new Proxy(
    {},
    {
      get(_target, property) {
        if (typeof property === 'symbol' || property === 'then' || property === 'default') return undefined;
        let member = members.get(property);
        if (member === undefined) {
          member = function missing(): never {
            throw new Error(problem);
          };
          members.set(property, member);
        }
        return member;
      },
    },
  );
}
