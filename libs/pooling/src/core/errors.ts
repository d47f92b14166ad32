/** Every error of the library, by subject: what users catch is here, and nowhere else. */
export * from './errors/http-errors.js';
export * from './errors/option-errors.js';
export * from './errors/pool-errors.js';
export * from './errors/pooling-error.js';
export * from './errors/query-errors.js';
