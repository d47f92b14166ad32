import type { CanActivate, ModuleMetadata, Type } from '@nestjs/common';
import type { RouteDecorators } from '../routes/route-decorators.js';

/** `expireAll`, `suspend`, `resume` and `resize` as on `DatabasePool`; `terminate` takes a connection from its holder. */
export type ConsoleAction = 'expireAll' | 'suspend' | 'resume' | 'resize' | 'terminate';

/** Each of them: one that is left out doesn't compile. */
const EVERY_CONSOLE_ACTION: Readonly<Record<ConsoleAction, true>> = {
  expireAll: true,
  suspend: true,
  resume: true,
  resize: true,
  terminate: true,
};
export const CONSOLE_ACTIONS = Object.keys(EVERY_CONSOLE_ACTION) as readonly ConsoleAction[];

/**
 * The live page.
 *
 * ```ts
 * PoolingModule.forRoot({
 *   console: { path: 'internal/pools', guards: [StaffGuard], allowedActions: ['suspend', 'resume'] },
 * });
 * ```
 */
export interface ConsoleOptions {
  /** Where it is, under the application's global prefix. Default: `pools`. */
  readonly path?: string | undefined;
  /**
   * Who may see it: guards as `@UseGuards` takes them, classes or instances. It shows SQL and stacks: without guards
   * it belongs where strangers don't come.
   */
  readonly guards?: readonly (Type<CanActivate> | CanActivate)[] | undefined;
  /**
   * Hosts under which the console is served, as the application sees them: `pools.example` on any port, or
   * `pools.example:8080`. IP addresses and `localhost` always are. Left out: it is shown under every host, and over plain
   * HTTP it takes orders under an IP address or `localhost` alone, because any name can be pointed here (DNS rebinding).
   */
  readonly allowedHosts?: readonly string[] | undefined;
  /** Modules with the providers that the guards need. */
  readonly imports?: ModuleMetadata['imports'] | undefined;
  /** Decorators for its routes, such as your own `Public()` or `SkipThrottle()`, for the guards that hold everywhere. */
  readonly decorators?: RouteDecorators | undefined;
  /**
   * Whether it lists the statements of the last minutes, by text and handler: how often, how long, how many rows, which kind of
   * plan. They are counted while the console is on. Default: `true`.
   */
  readonly statements?: boolean | undefined;
  /** What may be done on it; everything else is refused. Default: nothing. */
  readonly allowedActions?: readonly ConsoleAction[] | undefined;
}
