import { setTimeout as pause } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { getDbPoolToken, PoolingModule, type DatabasePool, type DatabaseOptions } from 'nestjs-pooling';
import { answerParent } from '../race/child.js';
import { median } from '../race/slice.js';

/** What an application with so many pools costs. */
export interface ScaleFigures {
  /** What the application and its pools take of the heap, in KiB. */
  readonly heapKiB: number;
  /** CPU time of a second in which nothing happens, in milliseconds. */
  readonly idleCpuMs: number;
  /** One acquire and release on one of the pools, in microseconds. */
  readonly acquireMicroseconds: number;
  /** One pool's statistics, in microseconds. */
  readonly statisticsMicroseconds: number;
  /** One scrape of `/metrics`, in milliseconds, and the length of its answer. */
  readonly scrapeMs: number;
  readonly scrapeKiB: number;
  /** The same acquire while metrics are scraped ten times a second, in microseconds. */
  readonly acquireWhileScrapedMicroseconds: number;
}

const IDLE_MS = 2_000;
const ACQUIRES = 20_000;
const SCRAPES = 20;

function heap(): number {
  globalThis.gc?.();
  return process.memoryUsage().heapUsed;
}

async function acquireCost(pool: DatabasePool): Promise<number> {
  const costs: number[] = [];
  for (let round = 0; round < 5; round++) {
    const startedAt = performance.now();
    for (let count = 0; count < ACQUIRES / 5; count++) (await pool.connect()).release();
    costs.push(((performance.now() - startedAt) * 1_000) / (ACQUIRES / 5));
  }
  return median(costs);
}

/** An application with so many pools. */
async function measure(url: string, pools: number): Promise<ScaleFigures> {
  const options = (name: string): DatabaseOptions & { name: string } => ({
    name,
    url,
    startup: 'lazy',
    size: 2,
    maxOverflow: 0,
  });
  const names = Array.from({ length: pools }, (_, index) => `pool${index}`);
  const before = heap();

  @Module({
    imports: [
      PoolingModule.forRoot({ database: false, http: false, health: false }),
      ...names.map((name) => PoolingModule.forDatabase(options(name))),
    ],
  })
  class Application {}

  const application = await NestFactory.create(Application, { logger: ['error'] });
  await application.listen(0, '127.0.0.1');
  const address = await application.getUrl();
  const pool = application.get<DatabasePool>(getDbPoolToken(names[0]));
  await pool.query('select 1');
  const heapKiB = (heap() - before) / 1_024;
  const cpu = process.cpuUsage();
  await pause(IDLE_MS);
  const { user, system } = process.cpuUsage(cpu);
  await acquireCost(pool);
  const acquireMicroseconds = await acquireCost(pool);
  const statisticsAt = performance.now();
  for (let count = 0; count < 10_000; count++) pool.statistics();
  const statisticsMicroseconds = (performance.now() - statisticsAt) / 10;
  const scrape = async (): Promise<string> => (await fetch(`${address}/metrics`)).text();
  const scrapes: number[] = [];
  let text = '';
  for (let round = 0; round < SCRAPES; round++) {
    const startedAt = performance.now();
    text = await scrape();
    scrapes.push(performance.now() - startedAt);
  }
  const scraping = setInterval(() => void scrape(), 100);
  const acquireWhileScrapedMicroseconds = await acquireCost(pool);
  clearInterval(scraping);
  await application.close();
  return {
    heapKiB,
    idleCpuMs: (user + system) / IDLE_MS,
    acquireMicroseconds,
    statisticsMicroseconds,
    scrapeMs: median(scrapes),
    scrapeKiB: text.length / 1_024,
    acquireWhileScrapedMicroseconds,
  };
}

answerParent({ measure });
