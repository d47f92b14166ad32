import type ts from 'typescript';
import type { TypeScript } from '../typescript-package.cjs';

/** A source file that is parsed by TypeScript and changed at single places: the rest stays as it was written. */
export class SourceEdit {
  readonly file: ts.SourceFile;
  private readonly insertions: { readonly at: number; readonly until: number; readonly text: string }[] = [];
  private readonly newline: string;

  constructor(
    readonly compiler: TypeScript,
    readonly path: string,
    readonly text: string,
  ) {
    this.file = compiler.createSourceFile(path, text, compiler.ScriptTarget.Latest, true);
    this.newline = text.includes('\r\n') ? '\r\n' : '\n';
  }

  /** Puts a text at a place; its lines end as the file's do. Several at one place stand in the order in which they came. */
  insert(at: number, text: string): void {
    this.replace(at, at, text);
  }

  replace(at: number, until: number, text: string): void {
    this.insertions.push({ at, until, text: text.replaceAll(/\r?\n/g, this.newline) });
  }

  get isChanged(): boolean {
    return this.insertions.length > 0;
  }

  /** The whole text with every change. */
  result(): string {
    let result = '';
    let from = 0;
    for (const { at, until, text } of this.insertions.toSorted((a, b) => a.at - b.at)) {
      result += this.text.slice(from, at) + text;
      from = until;
    }
    return result + this.text.slice(from);
  }

  /** What the line of a place begins with. */
  indentAt(place: number): string {
    const start = this.text.lastIndexOf('\n', place - 1) + 1;
    return /^[ \t]*/.exec(this.text.slice(start))![0];
  }

  lineOf(place: number): number {
    return this.file.getLineAndCharacterOfPosition(place).line;
  }

  /** The end of a node with the comment that stands behind it on its line. */
  endWithComment(end: number): number {
    return this.compiler.getTrailingCommentRanges(this.text, end)?.at(-1)?.end ?? end;
  }

  /** A piece of code with the quotes that the file has. */
  quoted(code: string): string {
    const example = this.file.statements.find((statement) => this.compiler.isImportDeclaration(statement));
    return example?.moduleSpecifier.getText(this.file).startsWith('"') ? code.replaceAll("'", '"') : code;
  }

  /** One step of the file's indentation. */
  get step(): string {
    const indents = this.text.match(/^(?:\t+| {2,})(?=\S)(?!\*)/gm) ?? [];
    if (indents.some((indent) => indent.startsWith('\t'))) return '\t';
    const widths = indents.map((indent) => indent.length);
    return ' '.repeat(widths.length > 0 ? Math.min(...widths) : 2);
  }

  /** Every node of a kind, from the top down. */
  find<T extends ts.Node>(is: (node: ts.Node) => node is T, within: ts.Node = this.file): T[] {
    const found: T[] = [];
    const visit = (node: ts.Node): void => {
      if (is(node)) found.push(node);
      this.compiler.forEachChild(node, visit);
    };
    visit(within);
    return found;
  }
}
