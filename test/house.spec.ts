import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import ts from 'typescript';

const SOURCES = join(import.meta.dirname, '../libs/pooling/src');

const MOST_LINES = 350;
const MOST_METHODS = 25;

const files = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
  .filter((file) => /\.(?:[cm]?ts|js)$/.test(file) && !/\.(?:spec|d)\.ts$/.test(file))
  .map((file) => ({ file, text: readFileSync(join(SOURCES, file), 'utf8') }));

/** The classes of a file, with how many methods each has: private ones included, overloads once; accessors read as properties. */
function classesOf(text: string): { readonly name: string; readonly methods: number }[] {
  const classes: { name: string; methods: number }[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isClassLike(node)) {
      const methods = node.members.filter((member) => ts.isMethodDeclaration(member) && member.body !== undefined);
      classes.push({ name: node.name?.text ?? 'a class without a name', methods: methods.length });
    }
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile('source.ts', text, ts.ScriptTarget.Latest));
  return classes;
}

describe('the sources of the library', () => {
  it(`have no file of more than ${MOST_LINES} lines`, () => {
    const lines = files.map(({ file, text }) => ({ file, lines: text.split('\n').length - 1 }));
    expect(lines.length).toBeGreaterThan(300);
    expect(lines.filter((each) => each.lines > MOST_LINES)).toEqual([]);
  });

  it(`have no class of more than ${MOST_METHODS} methods`, () => {
    const classes = files.flatMap(({ file, text }) => classesOf(text).map((each) => ({ file, ...each })));
    expect(classes.length).toBeGreaterThan(100);
    expect(classes.filter(({ methods }) => methods > MOST_METHODS)).toEqual([]);
  });

  it('have nothing that a bundler or a test runner can’t read as CommonJS: import.meta, createRequire', () => {
    const forbidden = (text: string): string[] => {
      const found: string[] = [];
      const visit = (node: ts.Node): void => {
        if (ts.isMetaProperty(node) && node.keywordToken === ts.SyntaxKind.ImportKeyword) found.push('import.meta');
        if (ts.isIdentifier(node) && node.text === 'createRequire') found.push('createRequire');
        ts.forEachChild(node, visit);
      };
      visit(ts.createSourceFile('source.ts', text, ts.ScriptTarget.Latest));
      return found;
    };
    expect(forbidden(`/* import.meta */ const a = createRequire(import.meta.url);`)).toEqual([
      'createRequire',
      'import.meta',
    ]);
    // The console's page is read by browsers.
    const read = files.filter(({ file }) => !file.startsWith(join('console', 'page')));
    expect(read.length).toBeGreaterThan(300);
    expect(
      read
        .filter(({ text }) => /import\.meta|createRequire/.test(text) && forbidden(text).length > 0)
        .map(({ file }) => file),
    ).toEqual([]);
  });

  it('count every method of a class once', () => {
    const text =
      'class A { a(): void; a(b?: 1): void {} get c() { return 1; } #d() {} static e() {} f = 1; constructor() {} }';
    expect(classesOf(`${text} const b = class { g() {} };`)).toEqual([
      { name: 'A', methods: 3 },
      { name: 'a class without a name', methods: 1 },
    ]);
  });
});
