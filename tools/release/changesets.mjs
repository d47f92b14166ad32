// Changesets: what the next version is, and what its chapter in the changelog says.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const LEVELS = ['patch', 'minor', 'major'];

/** The changesets of a folder, in the order of their names. */
export function readChangesets(folder, name) {
  const files = readdirSync(folder).filter((file) => file.endsWith('.md') && file !== 'README.md');
  return files.toSorted().map((file) => {
    const path = join(folder, file);
    const [, head, text] = /^---\r?\n([^]*?)^---\r?\n?([^]*)$/m.exec(readFileSync(path, 'utf8')) ?? [];
    const level = new RegExp(`^(['"]?)${name}\\1:\\s*(\\w+)\\s*$`, 'm').exec(head ?? '')?.[2];
    if (!LEVELS.includes(level)) throw new Error(`.changeset/${file} has to begin with:\n---\n'${name}': minor\n---`);
    return { path, level, text: text.trim() };
  });
}

/** The version after one, by the highest level of the changesets. */
export function nextVersion(version, changesets) {
  const level = Math.max(...changesets.map((each) => LEVELS.indexOf(each.level)));
  const numbers = version.split('.').map(Number);
  const at = 2 - level;
  return numbers.map((number, index) => (index < at ? number : index === at ? number + 1 : 0)).join('.');
}

/** An entry of a list, whose further lines are moved in. */
function entry(text) {
  return /^[-*] /.test(text) ? text : `- ${text.replaceAll(/\n(?!\n)/g, '\n  ')}`;
}

/**
 * The changelog with a chapter for the version: what stood under `## Unreleased`, and the texts of the changesets.
 *
 * @returns the whole changelog, and the chapter without its heading
 */
export function withVersion(changelog, version, date, changesets) {
  const [, before, unreleased, after] = /^([^]*?)(?:^## Unreleased\n([^]*?))?(^## \d[^]*)$/m.exec(changelog) ?? [];
  if (before === undefined) throw new Error('CHANGELOG.md has no chapter of a version');
  const entries = changesets.filter(({ text }) => text !== '').map(({ text }) => entry(text));
  const notes = [unreleased?.trim() ?? '', entries.join('\n')].filter((text) => text !== '').join('\n\n');
  if (notes === '') throw new Error('There is nothing to say about this version: give the changesets a text');
  return { changelog: `${before}## ${version} (${date})\n\n${notes}\n\n${after}`, notes };
}
