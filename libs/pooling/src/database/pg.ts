import { optionalPackage, type OptionalPackage } from '../core/optional-package.js';
import { loadPg } from './pg-package.cjs';

type Pg = typeof import('pg');

/** `pg`: an application with `database: false` needs none. */
export const pgPackage: OptionalPackage<Pg> = optionalPackage<Pg>('pg', loadPg());

/** What `pg` exports. */
export const pg: Pg = pgPackage.module;
