import { HELP, readSettings, type BenchSettings } from './settings.js';

/** What each subject's program is. */
const PROGRAMS: Readonly<Record<BenchSettings['subject'], (settings: BenchSettings) => Promise<void>>> = {
  database: async (settings) => (await import('./database/bench-database.js')).benchDatabase(settings),
  network: async (settings) => (await import('./database/bench-database.js')).benchDatabase(settings),
  pool: async (settings) => (await import('./pool/bench-pool.js')).benchPool(settings),
  http: async (settings) => (await import('./http/bench-http.js')).benchHttp(settings),
  observability: async (settings) =>
    (await import('./observability/bench-observability.js')).benchObservability(settings),
  checkouts: async (settings) => (await import('./checkouts/bench-checkouts.js')).benchCheckouts(settings),
  tracing: async (settings) => (await import('./tracing/bench-tracing.js')).benchTracing(settings),
  scale: async (settings) => (await import('./scale/bench-scale.js')).benchScale(settings),
};

try {
  const settings = readSettings(process.argv.slice(2));
  if (settings === undefined) process.stdout.write(HELP);
  else await PROGRAMS[settings.subject](settings);
} catch (error) {
  const wrongUse = error instanceof RangeError || error instanceof TypeError;
  process.stderr.write(`${wrongUse ? error.message : error instanceof Error ? error.stack : String(error)}\n`);
  process.exitCode = 1;
}
