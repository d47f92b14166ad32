/** An application that has everything but Kysely. */
import Module, { register } from 'node:module';

const HOOKS = `export function resolve(specifier, context, next) {
  if (specifier !== 'kysely') return next(specifier, context);
  throw Object.assign(new Error("Cannot find package 'kysely'"), { code: 'ERR_MODULE_NOT_FOUND' });
}`;
register(`data:text/javascript,${encodeURIComponent(HOOKS)}`);

type Resolve = (request: string, ...rest: unknown[]) => string;
const loader = Module as unknown as { _resolveFilename: Resolve };
const resolveInstalled = loader._resolveFilename;
loader._resolveFilename = function resolve(request, ...rest) {
  if (request !== 'kysely') return resolveInstalled.call(this, request, ...rest);
  throw Object.assign(new Error("Cannot find module 'kysely'"), { code: 'MODULE_NOT_FOUND' });
};

const { createKysely, DatabasePool } = await import('nestjs-pooling');
const pool = new DatabasePool('shop', { url: process.env['DATABASE_URL'] });
console.log((await pool.query('select 42 as answer')).rows);
try {
  createKysely(pool);
} catch (error) {
  console.log(error);
}
await pool.close();
