import { Injectable, Logger, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common';
import type { ConsoleOptions } from './console-options.js';
import { ConsoleSource } from './console-source.js';
import { carryOut } from './console-actions.js';
import { LiveFeed, type Viewer } from './live-feed.js';
import { readIndex, readPageFiles, type PageFile } from './page-files.js';

/** The token of the console's options. */
export const CONSOLE_OPTIONS = Symbol('console options');

/** Serves one application's console. */
@Injectable()
export class PoolConsoleService implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #source: ConsoleSource;
  readonly #options: ConsoleOptions;
  readonly #feed: LiveFeed;
  readonly #index = readIndex();
  readonly #files = readPageFiles();
  readonly #logger = new Logger('PoolingModule');

  constructor(source: ConsoleSource, options: ConsoleOptions) {
    this.#source = source;
    this.#options = options;
    this.#feed = new LiveFeed(source, options);
  }

  onApplicationBootstrap(): void {
    const { allowedActions = [], guards = [] } = this.#options;
    if (allowedActions.length > 0 && guards.length === 0) {
      this.#logger.warn(`console: ${allowedActions.join(', ')} allowed, and no guards: whoever reaches it may do it`);
    }
    this.#feed.start();
  }

  onModuleDestroy(): void {
    this.#feed.end();
  }

  /** The page, for an address whose files are at `base`. */
  index(base: string): string {
    return this.#index.replaceAll('{{base}}', base);
  }

  /** A file of the page. */
  file(name: string): PageFile | undefined {
    return this.#files.get(name);
  }

  /** Adds a viewer to the feed. */
  watch(viewer: Viewer): void {
    this.#feed.add(viewer);
  }

  /** Carries out a command from the page. */
  act(body: unknown): string {
    const done = carryOut(body, this.#options.allowedActions ?? [], this.#source);
    const { action, pool } = body as { action: string; pool: string };
    this.#logger.log(`console: ${action} on ${JSON.stringify(pool)}`);
    return done;
  }
}
