import { z } from 'zod';

export const productSearch = z.strictObject({
  search: z.string().trim().min(2).max(100).optional(),
  category: z.string().trim().min(1).max(50).optional(),
  inStock: z.stringbool().default(false),
  limit: z.coerce.number().pipe(z.int().min(1).max(100)).default(20),
  offset: z.coerce.number().pipe(z.int().min(0).max(10_000)).default(0),
});
export type ProductSearch = z.output<typeof productSearch>;
