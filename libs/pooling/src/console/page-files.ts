import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname } from 'node:path';

/** A file of the page as it is sent. */
export interface PageFile {
  readonly type: string;
  readonly body: Buffer;
}

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/** What the page consists of, besides `index.html`. Nothing else can be asked for. */
const OWN_FILES = [
  'actions.js',
  'app.js',
  'calculator.js',
  'cells.js',
  'charts.js',
  'configuration.js',
  'database-panel.js',
  'dom.js',
  'events.js',
  'figures.js',
  'holders.js',
  'http-panel.js',
  'icon.svg',
  'style.css',
  'text.js',
  'theme.js',
] as const;

/** uPlot (MIT, https://github.com/leeoniya/uPlot), as it was published. The package holds copies with its licence. */
const BORROWED_FILES: Readonly<Record<string, string>> = {
  'uplot.js': 'uPlot.iife.min.js',
  'uplot.css': 'uPlot.min.css',
};

function readBorrowed(file: string): Buffer {
  try {
    return readFileSync(new URL(`./page/vendor/${file}`, import.meta.url));
  } catch {
    // Run from its sources, the library has uPlot among its development dependencies.
    return readFileSync(createRequire(import.meta.url).resolve(`uplot/dist/${file}`));
  }
}

/** The page's files by name, read once. */
export function readPageFiles(): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  const add = (name: string, body: Buffer): void => {
    files.set(name, { type: TYPES[extname(name)] as string, body });
  };
  for (const name of OWN_FILES) add(name, readFileSync(new URL(`./page/${name}`, import.meta.url)));
  for (const [name, file] of Object.entries(BORROWED_FILES)) add(name, readBorrowed(file));
  return files;
}

/** The page itself; `{{base}}` in it stands for where its files are. */
export function readIndex(): string {
  return readFileSync(new URL('./page/index.html', import.meta.url), 'utf8');
}
