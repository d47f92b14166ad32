import { z } from 'zod';
import { id } from '../http/inputs.js';

export const newOrder = z.strictObject({
  customerId: id,
  lines: z
    .array(z.strictObject({ productId: id, quantity: z.int().min(1).max(1_000) }))
    .min(1)
    .max(50)
    .refine((lines) => new Set(lines.map((line) => line.productId)).size === lines.length, 'names a product twice'),
});
export type NewOrder = z.output<typeof newOrder>;
