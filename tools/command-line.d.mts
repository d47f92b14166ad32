/** What is wrong with a command line. */
export declare class UsageError extends Error {}

/** An option of a program, and what its value is. */
export interface Option<Value> {
  readonly text: string;
  readonly fallback: Value;
}

/** What an option is where it isn't given, and how that is shown. */
interface Defaults<Value> {
  readonly fallback: Value;
  readonly shown?: string;
}

/** What numbers are taken. */
interface Range {
  readonly least?: number;
  readonly whole?: boolean;
}

export declare function flag(text: string): Option<boolean>;
export declare function text(placeholder: string, description: string): Option<string | undefined>;
export declare function text(placeholder: string, description: string, defaults: Defaults<string>): Option<string>;
export declare function number(description: string, range?: Range): Option<number | undefined>;
export declare function number(description: string, defaults: Defaults<number> & Range): Option<number>;
export declare function numbers(
  description: string,
  defaults?: { readonly shown?: string },
): Option<readonly number[] | undefined>;
export declare function seed(): Option<number>;

/** What a program takes, and what it says of itself. */
export interface CommandLinePlan<Options extends Readonly<Record<string, Option<unknown>>>> {
  /** `npm run chaos -- [options]` */
  readonly usage: string;
  /** What it does, in lines of a terminal's width. */
  readonly about: string;
  readonly options: Options;
  /** What may be named besides; left out: nothing. */
  readonly names?: { readonly text: string; readonly among: readonly string[] };
  readonly examples?: readonly string[];
}

/** What was given on a command line. */
export interface CommandLine<Options> {
  readonly values: { readonly [Name in keyof Options]: Options[Name] extends Option<infer Value> ? Value : never };
  readonly names: readonly string[];
}

export declare function usageOf<Options extends Readonly<Record<string, Option<unknown>>>>(
  plan: CommandLinePlan<Options>,
): string;
export declare function parseCommandLine<Options extends Readonly<Record<string, Option<unknown>>>>(
  plan: CommandLinePlan<Options>,
  args: readonly string[],
): CommandLine<Options> | undefined;
export declare function readCommandLine<Options extends Readonly<Record<string, Option<unknown>>>>(
  plan: CommandLinePlan<Options>,
  args?: readonly string[],
): CommandLine<Options>;
