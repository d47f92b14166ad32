/** The name of the package. */
export const LIBRARY = 'nestjs-pooling';

/** The project has no TypeScript that its sources could be read with. */
export const NO_TYPESCRIPT =
  'TypeScript wasn’t found in this project, nor in its @nestjs/cli (its version 7 can’t be used): install typescript@6 and try again';
