/** One application with every library on its one pool: each answers, the application closes, and the process ends. */
import { NestFactory } from '@nestjs/core';
import { Module } from '@nestjs/common';
import { PoolingModule } from 'nestjs-pooling';
import { LIBRARIES } from './libraries.js';

const libraries = Object.values(LIBRARIES);

@Module({
  imports: [
    PoolingModule.forRoot({ database: { size: 4, maxOverflow: 0 }, http: false, metrics: false }),
    ...libraries.flatMap(({ imports }) => imports),
  ],
  providers: libraries.flatMap(({ providers = [] }) => providers),
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ['error', 'warn'] });
await app.init();
await Promise.all(libraries.map(({ books }, index) => books(app).add(index)));
const seen = await Promise.all(libraries.map(({ books }) => books(app).ids()));
console.log(seen.every((ids) => ids.length === libraries.length) ? 'all answered' : JSON.stringify(seen));
await app.close();
console.log('closed');
