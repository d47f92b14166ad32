import { z } from 'zod';

const LARGEST_INTEGER = 2_147_483_647;

/** A row's identity, as PostgreSQL's `integer` holds it. */
export const id = z.int().positive().max(LARGEST_INTEGER);

/** The same in a path or a query, where everything is text. */
export const idParameter = z.coerce.number().pipe(id);
