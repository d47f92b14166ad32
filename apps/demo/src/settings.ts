import { parseArgs } from 'node:util';
import type { ConsoleAction } from 'nestjs-pooling';
import { z } from 'zod';

const ACTIONS = ['expireAll', 'suspend', 'resume', 'resize', 'terminate'] as const satisfies readonly ConsoleAction[];

const port = z.coerce.number().int().min(0).max(65_535);

const environment = z.object({
  PORT: port.default(3000),
  HOST: z.string().min(1).default('127.0.0.1'),
  CARRIER_PORT: port.default(3001),
  CARRIER_URL: z.url({ protocol: /^https?$/ }).optional(),
  DATABASE_URL: z.string().min(1).optional(),
  CLUSTER: z.stringbool().default(false),
  DATABASE_BUDGET: z.coerce.number().int().min(2).optional(),
  DRAIN_DELAY_MS: z.coerce.number().int().min(0).default(0),
  DATA_DIRECTORY: z.string().min(1).default('.data/postgres'),
  PREPARED_STATEMENTS: z.stringbool().default(true),
  LEAK_DETECTION_MS: z.coerce.number().int().min(0).default(10_000),
  SLOW_QUERY_MS: z.coerce.number().int().min(0).default(200),
  CONSOLE_ACTIONS: z
    .string()
    .default('')
    .transform((list) => (list === 'all' ? [...ACTIONS] : list.split(/[\s,]+/).filter((name) => name !== '')))
    .pipe(z.array(z.enum(ACTIONS))),
  DEMO_FAULTS: z.stringbool().default(false),
  OTEL: z.stringbool().default(false),
});

/** What the surroundings decide. */
export interface Settings {
  /** Where the shop listens; port 0: a free one. */
  readonly port: number;
  readonly host: string;
  /** Where its own carrier listens, unless `carrierUrl` names another. */
  readonly carrierPort: number;
  readonly carrierUrl: string | undefined;
  /** Left out: a PostgreSQL of its own, with its data in `dataDirectory`. */
  readonly databaseUrl: string | undefined;
  readonly dataDirectory: string;
  /** Whether it has a primary and two standbys of its own instead. */
  readonly cluster: boolean;
  /** The most connections of all processes of the shop together; left out: each goes by its own size. */
  readonly databaseBudget: number | undefined;
  /** How long it goes on to serve at its end, while load balancers take note, in milliseconds. */
  readonly drainDelayMs: number;
  /** Off behind a PgBouncer in transaction mode below 1.21. */
  readonly preparedStatements: boolean;
  /** A connection that is held for longer is reported, in milliseconds; 0: none is. */
  readonly leakDetectionMs: number;
  /** A statement that takes longer is reported, and once for each how the server plans it, in milliseconds; 0: none is. */
  readonly slowQueryMs: number;
  /** What may be done on the console. */
  readonly consoleActions: readonly ConsoleAction[];
  /** Whether there are routes that make mistakes with connections on purpose. */
  readonly faults: boolean;
  /** Whether it is traced, and shows its traces. */
  readonly traces: boolean;
}

/**
 * Reads the settings from environment variables, and from the arguments: `--cluster` is `CLUSTER=1`.
 *
 * @throws Error that names every variable that is wrong, or the argument.
 */
export function readSettings(variables: NodeJS.ProcessEnv, args: readonly string[] = []): Settings {
  const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
  const result = environment.safeParse(given);
  if (!result.success) throw new Error(`Wrong environment variables:\n${z.prettifyError(result.error)}`);
  const values = result.data;
  const cluster = values.CLUSTER || wantsCluster(args);
  if (cluster && values.DATABASE_URL !== undefined) {
    throw new Error('Wrong environment variables:\nDATABASE_URL names a database, and the cluster is one of its own');
  }
  return {
    port: values.PORT,
    host: values.HOST,
    carrierPort: values.CARRIER_PORT,
    carrierUrl: values.CARRIER_URL,
    databaseUrl: values.DATABASE_URL,
    dataDirectory: values.DATA_DIRECTORY,
    cluster,
    databaseBudget: values.DATABASE_BUDGET,
    drainDelayMs: values.DRAIN_DELAY_MS,
    preparedStatements: values.PREPARED_STATEMENTS,
    leakDetectionMs: values.LEAK_DETECTION_MS,
    slowQueryMs: values.SLOW_QUERY_MS,
    consoleActions: values.CONSOLE_ACTIONS,
    faults: values.DEMO_FAULTS,
    traces: values.OTEL,
  };
}

function wantsCluster(args: readonly string[]): boolean {
  try {
    return parseArgs({ args: [...args], options: { cluster: { type: 'boolean', default: false } } }).values.cluster;
  } catch (error) {
    throw new Error(`Wrong arguments: ${(error as Error).message}. There is --cluster alone; the rest are variables`);
  }
}
