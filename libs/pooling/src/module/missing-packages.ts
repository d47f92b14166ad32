import { packageProblems, type OptionalPackage } from '../core/optional-package.js';
import { pgPackage } from '../database/pg.js';
import { terminusPackage } from '../health/terminus.js';
import { undiciPackage } from '../http/undici.js';
import { nestPrometheusPackage, prometheusClientPackage } from '../metrics/prometheus.js';

/** A part of the module that `false` switches off. */
export type OptionalPart = 'database' | 'http' | 'health' | 'metrics';

/** The packages of each part; the databases' providers check for Kysely. */
const PACKAGES: Readonly<Record<OptionalPart, readonly OptionalPackage<unknown>[]>> = {
  database: [pgPackage],
  http: [undiciPackage],
  health: [terminusPackage],
  metrics: [nestPrometheusPackage, prometheusClientPackage],
};

/** Whether every package that a part needs is there. */
export function isComplete(part: OptionalPart): boolean {
  return PACKAGES[part].every(({ problem }) => problem === undefined);
}

/** What the parts that aren't switched off lack, each with the command that installs it. */
export function missingPackages(options: Readonly<Partial<Record<OptionalPart, unknown>>>): string[] {
  return (Object.keys(PACKAGES) as OptionalPart[])
    .filter((part) => options[part] !== false)
    .flatMap((part) => packageProblems(part, ...PACKAGES[part]).map((problem) => `${problem} (or set ${part}: false)`));
}
