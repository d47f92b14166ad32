import { Controller, Get, Param, Query, UseInterceptors } from '@nestjs/common';
import { idParameter } from '../http/inputs.js';
import { ReadYourWrites } from '../http/read-your-writes.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { productSearch, type ProductSearch } from './catalogue.inputs.js';
import { CatalogueService, type Product } from './catalogue.service.js';

@Controller('products')
@UseInterceptors(ReadYourWrites)
export class CatalogueController {
  constructor(private readonly catalogue: CatalogueService) {}

  @Get()
  search(@Query(new ZodPipe(productSearch)) search: ProductSearch): Promise<Product[]> {
    return this.catalogue.search(search);
  }

  @Get(':id')
  byId(@Param('id', new ZodPipe(idParameter)) id: number): Promise<Product> {
    return this.catalogue.byId(id);
  }
}
