import { z } from 'zod';

const port = z.coerce.number().int().min(0).max(65_535);

const environment = z.object({
  PORT: port.default(3000),
  HOST: z.string().min(1).default('127.0.0.1'),
  CARRIER_PORT: port.default(3001),
  CARRIER_URL: z.url({ protocol: /^https?$/ }).optional(),
  DATABASE_URL: z.string().min(1).optional(),
  DATA_DIRECTORY: z.string().min(1).default('.data/postgres'),
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
}

/**
 * Reads the settings from environment variables.
 *
 * @throws Error that names every variable that is wrong.
 */
export function readSettings(variables: NodeJS.ProcessEnv): Settings {
  const given = Object.fromEntries(Object.entries(variables).filter(([, value]) => value !== ''));
  const result = environment.safeParse(given);
  if (!result.success) throw new Error(`Wrong environment variables:\n${z.prettifyError(result.error)}`);
  const values = result.data;
  return {
    port: values.PORT,
    host: values.HOST,
    carrierPort: values.CARRIER_PORT,
    carrierUrl: values.CARRIER_URL,
    databaseUrl: values.DATABASE_URL,
    dataDirectory: values.DATA_DIRECTORY,
  };
}
