/*
 * The page's files, read beside this one; CommonJS for `__dirname`. The package holds their contents in a file of this name,
 * so that the page is there wherever the library's code is: bundled into one file with an application, too.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** uPlot (MIT, https://github.com/leeoniya/uPlot), as it was published: a development dependency. */
const BORROWED_FILES: Readonly<Record<string, string>> = {
  'uplot.js': 'uPlot.iife.min.js',
  'uplot.css': 'uPlot.min.css',
};

/** What a file of the page holds. */
export function readPageAsset(name: string): string {
  const borrowed = BORROWED_FILES[name];
  const path = borrowed === undefined ? join(__dirname, 'page', name) : require.resolve(`uplot/dist/${borrowed}`);
  return readFileSync(path, 'utf8');
}
