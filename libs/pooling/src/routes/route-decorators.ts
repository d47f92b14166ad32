import type { Type } from '@nestjs/common';

/** Decorators for a route of the library, such as an application's own `Public()`. */
export type RouteDecorators = readonly ClassDecorator[];

/** `@nestjs/swagger`'s own name for what `@ApiExcludeController()` leaves on a class. */
const EXCLUDED_FROM_SWAGGER = 'swagger/apiExcludeController';

/**
 * Decorates a controller of the library as the application says. It isn't shown in Swagger unless that says otherwise.
 * Guards may look for metadata on the handler alone, so that they are there as well.
 */
export function decorateRoutes(controller: Type<unknown>, decorators: RouteDecorators = []): void {
  const before = new Set<unknown>(Reflect.getOwnMetadataKeys(controller));
  for (const decorate of functionsAmong(decorators)) decorate(controller);
  // Swagger's own decorator adds to what is there.
  if (!Reflect.hasOwnMetadata(EXCLUDED_FROM_SWAGGER, controller)) {
    Reflect.defineMetadata(EXCLUDED_FROM_SWAGGER, [true], controller);
  }
  const added = Reflect.getOwnMetadataKeys(controller).filter(
    // Nest's own, such as the guards of a class, hold for its handlers as it is.
    (key: unknown) => !before.has(key) && !String(key).startsWith('__'),
  );
  const prototype = controller.prototype as Record<string, unknown>;
  for (const name of Object.getOwnPropertyNames(prototype)) {
    const handler = prototype[name];
    if (name === 'constructor' || typeof handler !== 'function') continue;
    for (const key of added) Reflect.defineMetadata(key, Reflect.getMetadata(key, controller), handler);
  }
}

/** Wrong options are refused when the application starts, all at once: not here. */
function functionsAmong(decorators: unknown): readonly ClassDecorator[] {
  return Array.isArray(decorators) ? decorators.filter((each) => typeof each === 'function') : [];
}
