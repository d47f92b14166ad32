/** An application that listens, with shutdown hooks when `HOOKS` is `yes`, and prints the codes of what it is advised. */
import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { PoolAdvisor, PoolingModule } from 'nestjs-pooling';

@Module({ imports: [PoolingModule.forRoot({ http: false })] })
class ApplicationModule {}

const application = await NestFactory.create(ApplicationModule, { logger: ['warn', 'error'] });
if (process.env['HOOKS'] === 'yes') application.enableShutdownHooks();
await application.listen(0, '127.0.0.1');
const advice = await application.get(PoolAdvisor).advise();
console.log(`advice: ${advice.map(({ code }) => code).join(' ')}`);
