import { Logger, RequestMethod, VERSION_NEUTRAL, type Type } from '@nestjs/common';
import { MetadataScanner, type ModulesContainer } from '@nestjs/core';

/** Nest's own names for what its routing decorators leave on classes and methods. */
const METADATA = {
  path: 'path',
  method: 'method',
  version: '__version__',
  host: 'host',
  modulePath: '__module_path__',
};

/**
 * Removes a controller of the library when the application has a route of its own at one of its paths: Express would serve
 * whichever came first, and Fastify wouldn't start. Of a `separable` controller, only the conflicting routes are removed.
 * Call it when all modules are there and routes aren't.
 */
export function yieldToApplication(
  modules: ModulesContainer,
  own: Type<unknown>,
  remedy: string,
  separable = false,
): void {
  const ours = new Set(getRoutes(own));
  for (const { metatype, controllers } of modules.values()) {
    // `RouterModule` moves the controllers of such a module to another path.
    if (Reflect.getMetadataKeys(metatype).some((key) => String(key).startsWith(METADATA.modulePath))) continue;
    for (const controller of controllers.values()) {
      const other = controller.metatype;
      if (other === own || typeof other !== 'function') continue;
      const taken = getRoutes(other as Type<unknown>).filter((route) => ours.has(route));
      if (taken.length === 0) continue;
      new Logger('PoolingModule').log(`GET /${taken.join(', /')} is served by ${other.name}; ${remedy}`);
      for (const route of taken) ours.delete(route);
      if (!separable || ours.size === 0) return remove(modules, own);
      removeRoutes(own, new Set(taken));
    }
  }
}

/**
 * Puts the modules of the library's controllers before all others: Express serves the first route that fits, and a pattern of
 * the application, such as `:code` or `*path`, may fit as well. Fastify prefers an exact path by itself. Call it when all
 * modules are there and routes aren't.
 */
export function routeFirst(modules: ModulesContainer, own: ReadonlySet<unknown>): void {
  const others = [...modules].filter(
    ([, { controllers }]) => !Array.from(controllers.values()).some(({ metatype }) => own.has(metatype)),
  );
  for (const [token] of others) modules.delete(token);
  for (const [token, module] of others) modules.set(token, module);
}

function remove(modules: ModulesContainer, controller: Type<unknown>): void {
  for (const { controllers } of modules.values()) controllers.delete(controller);
}

/** Removes the routes of handlers: a method without a path isn't a handler any more. */
function removeRoutes(controller: Type<unknown>, taken: ReadonlySet<string>): void {
  const prototype = controller.prototype as Record<string, object>;
  for (const method of new MetadataScanner().getAllMethodNames(prototype)) {
    const handler = prototype[method] as object;
    const routes = paths(controller).flatMap((base) => paths(handler).map((path) => join(base, path)));
    if (routes.some((route) => taken.has(route))) Reflect.deleteMetadata(METADATA.path, handler);
  }
}

/** The paths that a controller answers `GET` at, without slashes at their ends. */
function getRoutes(controller: Type<unknown>): string[] {
  const version: unknown = Reflect.getMetadata(METADATA.version, controller);
  const isElsewhere = version !== undefined && version !== VERSION_NEUTRAL;
  if (isElsewhere || Reflect.getMetadata(METADATA.host, controller) !== undefined) return [];
  const prototype = controller.prototype as Record<string, object>;
  return new MetadataScanner().getAllMethodNames(prototype).flatMap((method) => {
    const handler = prototype[method] as object;
    const verb: unknown = Reflect.getMetadata(METADATA.method, handler);
    if (verb !== RequestMethod.GET && verb !== RequestMethod.ALL) return [];
    return paths(controller).flatMap((base) => paths(handler).map((path) => join(base, path)));
  });
}

function paths(of: object): string[] {
  const path: unknown = Reflect.getMetadata(METADATA.path, of);
  return (Array.isArray(path) ? path : [path]).map((each) => (typeof each === 'string' ? each : ''));
}

function join(...parts: readonly string[]): string {
  return parts
    .flatMap((part) => part.split('/'))
    .filter(Boolean)
    .join('/');
}
