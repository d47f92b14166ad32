import { optionalPackage, type LoadedPackage, type OptionalPackage } from '../../core/optional-package.js';
import { loadKysely } from '../kysely-package.cjs';

/** What Kysely exports. */
export type KyselyModule = typeof import('kysely');

/** Kysely 0.29 is an ES module, which needs a newer Node. */
const INSTALL = Number(process.versions.node.split('.', 1)[0]) < 22 ? 'kysely@0.28' : 'kysely';

type Load = () => LoadedPackage<object> | Promise<LoadedPackage<object>>;

let load: Load = loadKysely;

/**
 * Imports Kysely from now on, as the application does. Kysely 0.28 has one copy for `require` and one for `import`, and a
 * `NoResultError` of one isn't an instance of the other's.
 */
export function importKyselyWith(importing: Load): void {
  load = importing;
}

/** Kysely as `require` gives it, at once. */
export function requiredKysely(): OptionalPackage<KyselyModule> {
  return (required ??= optionalPackage<KyselyModule>('kysely', loadKysely(), INSTALL));
}

let required: OptionalPackage<KyselyModule> | undefined;

/** Kysely: an application with `database: false` needs none. */
export async function kyselyPackage(): Promise<OptionalPackage<KyselyModule>> {
  return optionalPackage<KyselyModule>('kysely', await load(), INSTALL);
}
