import type { FactoryProvider, Provider } from '@nestjs/common';
import type { Kysely } from 'kysely';
import { packageProblems } from '../core/optional-package.js';
import { presentHandler } from '../core/request-context.js';
import { refusal, refuseProblems, showValue } from '../core/validation.js';
import { DatabasePool } from '../database/database-pool.js';
import { kyselyPackage } from '../database/kysely/kysely-module.js';
import { createKyselyOn, isKyselyOn } from '../database/kysely/kysely-on-pool.js';
import type { DatabaseOptions } from '../database/options/options.js';
import { HttpClient } from '../http/http-client.js';
import type { HttpClientOptions } from '../http/options.js';
import { ApplicationSpans } from './application-spans.js';
import { HandlerLabels } from './handler-labels.js';
import { notConfigured } from './not-configured.js';
import { logHttpLeak, PoolLog } from './pool-log.js';
import { PoolStore } from './pool-store.js';
import { getDbPoolToken, getDbToken, getHttpClientToken, getReplicaDbToken } from './tokens.js';

/** Where the options of a database or client are: a token, and how to read them from its value. */
export interface OptionsAt<Source, Options> {
  readonly token: symbol;
  readonly read: (source: Source) => Options;
}

const SET_DATABASE = 'set `database` in the options of PoolingModule.forRoot, or leave it out to use DATABASE_URL';
const SET_HTTP = 'set `http` in the options of PoolingModule.forRoot, or leave it out';

/** The providers of a database: its pool and its `Kysely`. Making them opens no connection. */
export function databaseProviders<Source>(
  name: string,
  options: OptionsAt<Source, DatabaseOptions | false | undefined>,
): Provider[] {
  const pool: FactoryProvider<DatabasePool> = {
    provide: getDbPoolToken(name),
    inject: [PoolStore, HandlerLabels, ApplicationSpans, options.token],
    useFactory: (store: PoolStore, labels: HandlerLabels, spans: ApplicationSpans, source: Source) => {
      const given = options.read(source);
      if (given === false) {
        store.addAbsent('database', name);
        return notConfigured<DatabasePool>(name, 'the database pool', SET_DATABASE);
      }
      const traced = spans.sink?.present === true;
      const named = traced || namesHolders(given);
      if (named) labels.enable(traced);
      const made = new DatabasePool(name, given, {
        observer: new PoolLog(name),
        spans: spans.sink,
        // Always asked for: names may be kept only from the first ambient transaction on.
        ...(named ? { label: presentHandler } : undefined),
      });
      if (made.configuration.replicas?.consistency === 'read-your-writes') labels.keepWrites();
      store.addDatabase(name, made);
      return made;
    },
  };
  const kysely: FactoryProvider<Kysely<unknown>> = {
    provide: getDbToken(name),
    inject: [PoolStore, options.token, pool.provide],
    useFactory: async (store: PoolStore, source: Source, of: DatabasePool) => {
      const given = options.read(source);
      if (given === false) return notConfigured<Kysely<unknown>>(name, 'the database', SET_DATABASE);
      store.use(name, of);
      const kysely = await kyselyPackage();
      refuseProblems(name, packageProblems('database', kysely));
      return createKyselyOn(kysely.module)<unknown>(of, { plugins: given?.plugins, log: given?.log });
    },
  };
  const replicas: FactoryProvider<Kysely<unknown>> = {
    provide: getReplicaDbToken(name),
    inject: [options.token, pool.provide, kysely.provide],
    useFactory: async (source: Source, of: DatabasePool, db: Kysely<unknown>) => {
      const given = options.read(source);
      // What a test has put in the place of the database is read from as well.
      if (given === false || given?.replicas === undefined || !isKyselyOn(of, db)) return db;
      const { module } = await kyselyPackage();
      return createKyselyOn(module)<unknown>(of, { plugins: given.plugins, log: given.log, replicas: true });
    },
  };
  return [pool, kysely, replicas];
}

/** Whether an option needs the names of handlers, which cost each request a little. */
function namesHolders({ leakDetectionMs = 0, slowAcquireMs = 0, slowQueryMs = 0 }: DatabaseOptions = {}): boolean {
  return leakDetectionMs > 0 || slowAcquireMs > 0 || slowQueryMs > 0;
}

/** The provider of an HTTP client. */
export function httpClientProvider<Source>(
  name: string,
  options: OptionsAt<Source, HttpClientOptions | false | undefined>,
): FactoryProvider<HttpClient> {
  return {
    provide: getHttpClientToken(name),
    inject: [PoolStore, ApplicationSpans, options.token],
    useFactory: (store: PoolStore, spans: ApplicationSpans, source: Source) => {
      const given = options.read(source);
      if (given === false) {
        store.addAbsent('HTTP client', name);
        return notConfigured<HttpClient>(name, 'the HTTP client', SET_HTTP);
      }
      const client = new HttpClient(name, given, { onLeak: logHttpLeak, spans: spans.sink });
      store.addHttpClient(name, client);
      return client;
    },
  };
}

/** Refuses a name that isn't one. */
export function refuseName(of: string, name: unknown): asserts name is string {
  if (typeof name === 'string' && name.trim() !== '') return;
  refuseProblems(of, [refusal('name', showValue(name), 'a string that is not empty')]);
}
