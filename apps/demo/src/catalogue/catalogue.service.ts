import { Injectable, NotFoundException } from '@nestjs/common';
import type { Kysely, Selectable } from 'kysely';
import { InjectReplicaDb } from 'nestjs-pooling';
import type { ProductsTable, Shop } from '../database/schema.js';
import type { ProductSearch } from './catalogue.inputs.js';

export interface Product {
  readonly id: number;
  readonly sku: string;
  readonly name: string;
  readonly category: string;
  readonly priceCents: number;
  readonly stock: number;
}

@Injectable()
export class CatalogueService {
  constructor(@InjectReplicaDb() private readonly replicas: Kysely<Shop>) {}

  async search({ search, category, inStock, limit, offset }: ProductSearch): Promise<Product[]> {
    let query = this.replicas
      .selectFrom('products')
      .selectAll()
      .orderBy('name')
      .orderBy('id')
      .limit(limit)
      .offset(offset);
    // Every word, in any order.
    for (const word of search?.split(/\s+/).filter(Boolean) ?? []) {
      query = query.where('name', 'ilike', `%${word.replace(/[\\%_]/g, '\\$&')}%`);
    }
    if (category !== undefined) query = query.where('category', '=', category);
    if (inStock) query = query.where('stock', '>', 0);
    return (await query.execute()).map(toProduct);
  }

  async byId(id: number): Promise<Product> {
    const row = await this.replicas.selectFrom('products').selectAll().where('id', '=', id).executeTakeFirst();
    if (row === undefined) throw new NotFoundException(`There is no product ${id}`);
    return toProduct(row);
  }
}

function toProduct({ price_cents: priceCents, ...row }: Selectable<ProductsTable>): Product {
  return { ...row, priceCents };
}
