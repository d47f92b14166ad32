import { extname } from 'node:path';
import { readPageAsset } from './page-assets.cjs';

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

/** The files of the page besides `index.html`. No other file is served. */
export const PAGE_FILES = [
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
  'fleet.js',
  'folded-list.js',
  'hosts.js',
  'holders.js',
  'http-panel.js',
  'icon.svg',
  'panel.js',
  'replicas.js',
  'plan.js',
  'statements.js',
  'style.css',
  'text.js',
  'theme.js',
  'uplot.css',
  'uplot.js',
] as const;

/** The page's files by name. */
export function readPageFiles(): ReadonlyMap<string, PageFile> {
  return new Map(
    PAGE_FILES.map((name) => [name, { type: TYPES[extname(name)] as string, body: Buffer.from(readPageAsset(name)) }]),
  );
}

/** The page itself; `{{base}}` in it stands for where its files are. */
export function readIndex(): string {
  return readPageAsset('index.html');
}
