import { BadRequestException, type PipeTransform } from '@nestjs/common';
import type { z } from 'zod';

/** Validates a body, a query or a parameter: `@Body(new ZodPipe(newOrder))`. What is wrong becomes a 400 that names it all. */
export class ZodPipe<Schema extends z.ZodType> implements PipeTransform<unknown, z.output<Schema>> {
  constructor(private readonly schema: Schema) {}

  transform(value: unknown): z.output<Schema> {
    const result = this.schema.safeParse(value);
    if (result.success) return result.data;
    throw new BadRequestException({
      statusCode: 400,
      error: 'Bad Request',
      message: 'The request is not valid',
      problems: result.error.issues.map(({ path, message }) => ({ path: path.join('.'), message })),
    });
  }
}
