import type { Type } from '@nestjs/common';

/** Decorators for a route of the library, such as an application's own `Public()`. */
export type RouteDecorators = readonly ClassDecorator[];

/** `@nestjs/swagger`'s own name for what `@ApiExcludeController()` leaves on a class. */
const EXCLUDED_FROM_SWAGGER = 'swagger/apiExcludeController';

/**
 * Applies the application's decorators to a controller of the library, which Swagger doesn't show unless one of them says so. The
 * metadata is put on the handlers as well, because guards may look there alone.
 */
export function decorateRoutes(controller: Type<unknown>, decorators: RouteDecorators = []): void {
  const before = new Set<unknown>(Reflect.getOwnMetadataKeys(controller));
  for (const decorate of functionsAmong(decorators)) decorate(controller);
  // Swagger's own decorator adds to the present metadata.
  if (!Reflect.hasOwnMetadata(EXCLUDED_FROM_SWAGGER, controller)) {
    Reflect.defineMetadata(EXCLUDED_FROM_SWAGGER, [true], controller);
  }
  const added = Reflect.getOwnMetadataKeys(controller).filter(
    // Nest's own metadata of a class, such as guards, holds for its handlers anyway.
    (key: unknown) => !before.has(key) && !String(key).startsWith('__'),
  );
  const prototype = controller.prototype as Record<string, unknown>;
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const handler = prototype[name];
    if (name === 'constructor' || typeof handler !== 'function') continue;
    for (const key of added) Reflect.defineMetadata(key, Reflect.getMetadata(key, controller), handler);
  }
}

/** The decorators that are functions: wrong ones are refused at the start, with all other wrong options. */
function functionsAmong(decorators: unknown): readonly ClassDecorator[] {
  return Array.isArray(decorators) ? decorators.filter((each) => typeof each === 'function') : [];
}
