import type { AddressInfo } from 'node:net';
import type { INestApplication, ModuleMetadata } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';

/** What serves an application's routes. */
export type Adapter = 'express' | 'fastify';

/** How an application is started. */
export interface StartOptions {
  /** `'express'` by default. */
  readonly adapter?: Adapter;
  /** Called before it listens. */
  readonly configure?: (application: INestApplication) => void;
  /** `false`: it is initialised, and no server listens. */
  readonly listen?: boolean;
}

/** Starts applications for the tests of one file, which are closed after each test. */
export function useApplications(): (metadata: ModuleMetadata, options?: StartOptions) => Promise<INestApplication> {
  const started: INestApplication[] = [];
  afterEach(async () => {
    for (const application of started.splice(0)) await application.close();
  });
  return async (metadata, { adapter = 'express', configure, listen = true } = {}) => {
    const testing = await Test.createTestingModule(metadata).compile();
    const application =
      adapter === 'express'
        ? testing.createNestApplication({ logger: false })
        : testing.createNestApplication(new FastifyAdapter(), { logger: false });
    started.push(application);
    configure?.(application);
    if (listen) await application.listen(0, '127.0.0.1');
    else await application.init();
    return application;
  };
}

/** Where an application listens. */
export function urlOf(application: INestApplication): string {
  return `http://127.0.0.1:${(application.getHttpServer().address() as AddressInfo).port}`;
}
