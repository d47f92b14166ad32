/**
 * The code of the documents and of the doc comments, as TypeScript sees it: one program for all of it.
 *
 * A block that begins with a line such as `// src/main.ts` is that file of a program. It is compiled as it is, and finds
 * the program's other files, which stand next to it in the same document. Every other block is a fragment: names that it
 * uses and doesn't declare come from `surroundings.ts`, and in a doc comment also from the file that the comment is in.
 * A block after `<!-- from: test/orms/knex.module.ts -->` shows that file, which is compiled where it is.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import ts from 'typescript';
import { listDocuments } from './documents.js';

export const ROOT = join(import.meta.dirname, '../..');
const SOURCES = join(ROOT, 'libs/pooling/src');
const SURROUNDINGS = join(import.meta.dirname, 'surroundings.ts');
/** The files of type tests. */
const TYPE_TESTS = join(ROOT, 'test/types');
const ENTRIES = ['index.ts', 'testing/index.ts'].map((entry) => join(SOURCES, entry));
/** Where blocks would be if they were files. */
const FOLDER = join(import.meta.dirname, 'blocks');
const LANGUAGES = new Set(['ts', 'typescript', 'js', 'javascript', 'mjs']);

export interface Block {
  /** The file that it is in, as seen from the repository. */
  readonly place: string;
  /** The line of its first line of code. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
  /** The file of the repository that it shows. */
  readonly from: string | undefined;
}

/** A file that exists for the compiler only. */
interface VirtualFile {
  readonly block: Block;
  readonly path: string;
  text: string;
}

/** Every fenced block of a document. */
export function blocksOf({ name, text }: { name: string; text: string }): Block[] {
  return fencedBlocks(name, text.split('\n'), 1);
}

function fencedBlocks(place: string, lines: readonly string[], firstLine: number): Block[] {
  const blocks: Block[] = [];
  for (let index = 0; index < lines.length; index++) {
    const [, indent, fence, language] = /^(\s*)(`{3,})(\w*)/.exec(lines[index] as string) ?? [];
    if (fence === undefined) continue;
    const start = index + 1;
    do index++;
    while (index < lines.length && (lines[index] as string).trim() !== fence);
    blocks.push({
      place,
      line: firstLine + start,
      language: language as string,
      from: /^<!-- from: (\S+) -->$/.exec(lines[start - 3] ?? '')?.[1],
      code: lines
        .slice(start, index)
        .map((line) => line.slice((indent as string).length))
        .join('\n'),
    });
  }
  return blocks;
}

/** The blocks in the doc comments of a file. */
function commentBlocks(file: string): Block[] {
  const text = readFileSync(file, 'utf8');
  return Array.from(text.matchAll(/\/\*\*[\s\S]*?\*\//g)).flatMap((comment) => {
    const lines = comment[0].split('\n').map((line) => line.replace(/^\s*\* ?/, ''));
    return fencedBlocks(relative(ROOT, file), lines, text.slice(0, comment.index).split('\n').length);
  });
}

const isCode = ({ language, from }: Block): boolean => from === undefined && LANGUAGES.has(language);

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file));
}

/** Every block of code that shows no file of the repository: those of the documents, and those of doc comments. */
export function listBlocks(): Block[] {
  const sources = filesBelow(SOURCES).filter((file) => /(?<!\.spec|\.d)\.ts$/.test(file));
  return [...listDocuments().flatMap(blocksOf), ...sources.flatMap(commentBlocks)].filter(isCode);
}

/** The name of the file that a block is, such as `src/main.ts`. */
export function fileNameOf({ code }: Block): string | undefined {
  return /^\/\/ ([\w-]+\/[\w./-]+\.ts)\n/.exec(code)?.[1];
}

/** The files of the programs in a document: a name that comes again begins another program. */
export function programsOf(blocks: readonly Block[]): Map<string, Block>[] {
  const programs: Map<string, Block>[] = [];
  for (const block of blocks) {
    const name = fileNameOf(block);
    if (name === undefined) continue;
    let program = programs.at(-1);
    if (program === undefined || program.has(name)) programs.push((program = new Map()));
    program.set(name, block);
  }
  return programs;
}

function identifiersOf(code: string): { used: Set<string>; declared: Set<string> } {
  const file = ts.createSourceFile('block.ts', code, ts.ScriptTarget.Latest, true);
  const used = new Set<string>();
  const declared = new Set<string>();
  const declare = (name: ts.Node): void => {
    if (ts.isIdentifier(name)) declared.add(name.text);
    else name.forEachChild((part) => declare(ts.isBindingElement(part) ? part.name : part));
  };
  for (const statement of file.statements) {
    if (ts.isVariableStatement(statement)) {
      for (const { name } of statement.declarationList.declarations) declare(name);
    } else if (ts.isImportDeclaration(statement)) {
      const { name, namedBindings } = statement.importClause ?? {};
      if (name !== undefined) declare(name);
      if (namedBindings === undefined) continue;
      if (ts.isNamespaceImport(namedBindings)) declare(namedBindings.name);
      else for (const element of namedBindings.elements) declare(element.name);
    } else if ('name' in statement && statement.name !== undefined) {
      declare(statement.name as ts.Node);
    }
  }
  const visit = (node: ts.Node): void => {
    if (ts.isIdentifier(node)) used.add(node.text);
    node.forEachChild(visit);
  };
  visit(file);
  return { used, declared };
}

function importFrom(path: string, names: readonly string[]): string {
  const from = relative(FOLDER, path).replace(/ts$/, 'js');
  return names.length === 0 ? '' : `import { ${names.join(', ')} } from '${from}'; `;
}

function compilerOptions(): ts.CompilerOptions {
  const { config } = ts.readConfigFile(join(ROOT, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, ROOT);
  return {
    ...options,
    noEmit: true,
    incremental: false,
    tsBuildInfoFile: undefined,
    noUnusedLocals: false,
    // As strict as an application may be: `url: process.env.DATABASE_URL` may be undefined.
    exactOptionalPropertyTypes: true,
  };
}

/** What is compiled, and what the compiler says of it. */
export class CompiledBlocks {
  readonly blocks = listBlocks();
  readonly typeTests = filesBelow(TYPE_TESTS).filter((file) => file.endsWith('.ts'));
  readonly #files: VirtualFile[] = [];
  readonly #program: ts.Program;

  constructor() {
    const options = compilerOptions();
    const host = ts.createCompilerHost(options);
    this.#place();
    const texts = new Map(this.#files.map((file) => [file.path, file]));
    const { fileExists, readFile, getSourceFile } = host;
    delete (host as Partial<typeof host>).directoryExists;
    host.fileExists = (path) => texts.has(path) || fileExists(path);
    host.readFile = (path) => texts.get(path)?.text ?? readFile(path);
    host.getSourceFile = (path, target, ...rest) => {
      const file = texts.get(path);
      return file === undefined
        ? getSourceFile(path, target, ...rest)
        : ts.createSourceFile(path, file.text, target as ts.CreateSourceFileOptions);
    };
    const commented = this.blocks.map(({ place }) => join(ROOT, place)).filter((file) => file.endsWith('.ts'));
    const roots = [...new Set([SURROUNDINGS, ...ENTRIES, ...commented, ...this.typeTests])];
    const before = ts.createProgram(roots, options, host);
    const names = exportsOf(before);
    for (const file of this.#files) {
      if (file.path.startsWith(FOLDER + '/fragment-')) file.text = surround(file.block, names);
    }
    this.#program = ts.createProgram([...roots, ...texts.keys()], options, host, before);
  }

  /** What the compiler says of a block, with the lines of the file that it stands in. */
  errorsOf(block: Block): string[] {
    const { path } = this.#files.find((file) => file.block === block) as VirtualFile;
    return this.#errorsIn(path, block.line);
  }

  errorsInFile(path: string): string[] {
    return this.#errorsIn(path, 1);
  }

  /** The exported classes, functions, constants and types of options and events that have no example. */
  exportsWithoutExample(): string[] {
    return this.#exports()
      .filter(({ symbol }) => needsExample(symbol) && !hasExample(symbol))
      .map(({ symbol }) => symbol.name);
  }

  /** The exports, the members of exported classes and the settings that have no words of their own in their doc comment. */
  exportsWithoutSummary(): string[] {
    const checker = this.#program.getTypeChecker();
    const isSaid = (symbol: ts.Symbol): boolean =>
      symbol.getDocumentationComment(checker).some(({ text }) => /\w/.test(text));
    return this.#exports().flatMap(({ name, symbol }) => {
      const isClass = (symbol.flags & ts.SymbolFlags.Class) !== 0;
      const members =
        isClass || SETTINGS.test(name) ? [...(symbol.members?.values() ?? [])].filter(isPublicMember) : [];
      const unsaid = members
        .filter((member) => !isInternal(member) && !isSaid(member))
        .map((member) => `${name}.${member.name}`);
      return isSaid(symbol) ? unsaid : [name, ...unsaid];
    });
  }

  #exports(): { name: string; symbol: ts.Symbol }[] {
    const checker = this.#program.getTypeChecker();
    return ENTRIES.flatMap((entry) => {
      const module = checker.getSymbolAtLocation(this.#program.getSourceFile(entry) as ts.SourceFile) as ts.Symbol;
      return checker.getExportsOfModule(module).map((symbol) => ({
        name: symbol.name,
        symbol: symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol,
      }));
    });
  }

  /** The settings that an application may write and may leave out, but not give as `undefined`: `process.env.X` gives that. */
  settingsWithoutUndefined(): string[] {
    const checker = this.#program.getTypeChecker();
    return this.#exports()
      .filter(({ name }) => SETTINGS.test(name))
      .flatMap(({ name, symbol }) =>
        checker
          .getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol))
          .filter((property) => isOptional(property) && isOurs(property))
          .filter((property) => !acceptsUndefined(checker, property))
          .map((property) => `${name}.${property.name}`),
      );
  }

  #place(): void {
    for (const place of new Set(this.blocks.map((block) => block.place))) {
      const blocks = this.blocks.filter((block) => block.place === place);
      const folder = join(FOLDER, place.replaceAll(/\W/g, '-'));
      programsOf(blocks).forEach((program, index) => {
        for (const [name, block] of program)
          this.#files.push({ block, path: join(`${folder}-${index}`, name), text: `${block.code}\nexport {};` });
      });
      for (const block of blocks) {
        if (fileNameOf(block) !== undefined) continue;
        const path = join(FOLDER, `fragment-${place.replaceAll(/\W/g, '-')}-${block.line}.ts`);
        this.#files.push({ block, path, text: '' });
      }
    }
  }

  #errorsIn(path: string, firstLine: number): string[] {
    const file = this.#program.getSourceFile(path) as ts.SourceFile;
    const isFragment = path.startsWith(`${FOLDER}/fragment-`);
    const diagnostics = [...this.#program.getSyntacticDiagnostics(file), ...this.#program.getSemanticDiagnostics(file)];
    return diagnostics.flatMap(({ start = 0, messageText }) => {
      const { line } = file.getLineAndCharacterOfPosition(start);
      const message = ts.flattenDiagnosticMessageText(messageText, '\n');
      if (REFUSES_NODE_TOO.test(message)) return [];
      // A fragment's first line is what surrounds it.
      return `line ${firstLine + line - (isFragment ? 1 : 0)}: ${message}`;
    });
  }
}

/** What the surroundings and each source file export. */
function exportsOf(program: ts.Program): Map<string, ReadonlySet<string>> {
  const checker = program.getTypeChecker();
  return new Map(
    program
      .getSourceFiles()
      .filter(({ fileName }) => fileName === SURROUNDINGS || fileName.startsWith(SOURCES))
      .map((file) => {
        const module = checker.getSymbolAtLocation(file);
        const names = module === undefined ? [] : checker.getExportsOfModule(module).map(({ name }) => name);
        return [file.fileName, new Set(names)] as const;
      }),
  );
}

function surround(block: Block, names: ReadonlyMap<string, ReadonlySet<string>>): string {
  const { used, declared } = identifiersOf(block.code);
  const own = join(ROOT, block.place);
  const free = [...used].filter((name) => !declared.has(name));
  const owned = free.filter((name) => names.get(own)?.has(name));
  const given = free.filter((name) => !owned.includes(name) && names.get(SURROUNDINGS)?.has(name));
  return `${importFrom(own, owned)}${importFrom(SURROUNDINGS, given)}export {};\n${block.code}`;
}

/** What is used by its name. Of other types, options that are more than one or two settings: the rest is seen in use. */
function needsExample({ name, flags, members }: ts.Symbol): boolean {
  const isValue = (flags & (ts.SymbolFlags.Class | ts.SymbolFlags.Function | ts.SymbolFlags.Variable)) !== 0;
  return isValue || (/(?<!^Resolved.*)Options$/.test(name) && (members?.size ?? 0) > 2);
}

/** What isn't in the declarations that users get. */
const isInternal = (symbol: ts.Symbol): boolean => symbol.getJsDocTags().some(({ name }) => name === 'internal');

/** What somebody can call, read or set by its name. */
function isPublicMember({ declarations = [] }: ts.Symbol): boolean {
  return declarations.some(
    (declaration) =>
      (ts.isMethodDeclaration(declaration) ||
        ts.isPropertyDeclaration(declaration) ||
        ts.isPropertySignature(declaration) ||
        ts.isGetAccessor(declaration)) &&
      ts.isIdentifier(declaration.name) &&
      (ts.getCombinedModifierFlags(declaration) & (ts.ModifierFlags.Private | ts.ModifierFlags.Protected)) === 0,
  );
}

/** With `exactOptionalPropertyTypes`, and only with it, tRPC's types refuse Node's own `fetch` as well. */
const REFUSES_NODE_TOO = /'FetchEsque'[^]*exactOptionalPropertyTypes: true/;

/** The types of what an application writes. */
const SETTINGS = /^(?!Resolved).*(?:Options|Init|Timeouts|Estimate|Target|Trigger)$/;

const isOptional = ({ flags }: ts.Symbol): boolean => (flags & ts.SymbolFlags.Optional) !== 0;

/** Not what Nest or Kysely declares. */
function isOurs({ declarations = [] }: ts.Symbol): boolean {
  return declarations.every((declaration) => declaration.getSourceFile().fileName.startsWith(SOURCES));
}

/** By what is written: the type of an optional property has the missing value, which the compiler takes for undefined here. */
function acceptsUndefined(checker: ts.TypeChecker, { declarations = [] }: ts.Symbol): boolean {
  return declarations.every(
    (declaration) =>
      ts.isPropertySignature(declaration) &&
      declaration.type !== undefined &&
      checker.isTypeAssignableTo(checker.getUndefinedType(), checker.getTypeFromTypeNode(declaration.type)),
  );
}

function hasExample({ declarations = [] }: ts.Symbol): boolean {
  return declarations.some((declaration) =>
    ts
      .getJSDocCommentsAndTags(declaration)
      .some((comment) => /^\s*\* ```ts$/m.test(comment.getFullText(declaration.getSourceFile()))),
  );
}
