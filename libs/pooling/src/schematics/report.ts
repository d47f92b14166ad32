import { LIBRARY } from './words.js';
import type { Context } from './tree.js';

/** The report of a schematic: what it did, what it left alone, and what is left to do. */
export class Report {
  private readonly done: string[] = [];
  private readonly left: string[] = [];
  private readonly notes: string[] = [];
  private readonly warnings: string[] = [];

  did(file: string, what: string): void {
    this.done.push(`  ${file}: ${what}`);
  }

  leave(file: string, why: string): void {
    this.left.push(`  ${file}: ${why}`);
  }

  note(text: string): void {
    this.notes.push(text);
  }

  /** Something that the user has to do. */
  warn(text: string): void {
    this.warnings.push(text);
  }

  print(logger: Context['logger']): void {
    const lines = [
      ...(this.done.length > 0 ? [`${LIBRARY} changed:`, ...this.done] : [`${LIBRARY} changed nothing.`]),
      ...(this.left.length > 0 ? ['Left alone:', ...this.left] : []),
    ];
    logger.info(lines.join('\n'));
    for (const warning of this.warnings) logger.warn(warning);
    for (const note of this.notes) logger.info(note);
  }
}
