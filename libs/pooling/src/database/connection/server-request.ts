import { isIP } from 'node:net';
import type { ClientConfig } from 'pg';
import type { Clock } from '../../core/clock.js';
import { pg } from '../pg.js';
import { guardIncoming, type ProtocolConnection, type ProtocolConnectionConstructor } from '../pg-internals.js';

/** The address that a connection was made to: its name may mean another one by now. */
export interface SocketAddress {
  readonly address: string;
  readonly port: number;
}

/** How to reach the very server that a connection was made to, whose certificate is for the name. */
function configAt({ address, port }: SocketAddress, config: ClientConfig): ClientConfig {
  const { host = 'localhost', ssl } = config;
  if (!ssl) return { ...config, host: address, port };
  const given = ssl === true ? {} : ssl;
  const named = {
    ...(isIP(host) === 0 ? { servername: host } : undefined),
    ...given,
    // Not enumerable, so that it doesn't come into logs.
    ...('key' in given ? { key: given.key } : undefined),
  };
  return { ...config, host: address, port, ssl: named };
}

/** Opens a bare protocol connection, without logging in, for one short request. */
function dial(config: ClientConfig): ProtocolConnection {
  const connection = new (pg.Connection as unknown as ProtocolConnectionConstructor)({
    stream: config.stream,
    ssl: config.ssl,
    sslNegotiation: config.sslnegotiation,
  });
  // pg would parse the answer, which is no message of the protocol, and throw into the process.
  guardIncoming(connection, () => undefined);
  const host = config.host ?? 'localhost';
  if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${config.port ?? 5432}`);
  else connection.connect(config.port ?? 5432, host);
  return connection;
}

/** Runs one short request on a bare connection and destroys it afterwards, whatever happens. */
function request(
  config: ClientConfig,
  timeoutMs: number,
  clock: Clock,
  converse: (connection: ProtocolConnection, done: () => void) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const connection = dial(config);
    const finish = (settle: () => void): void => {
      clock.clearTimeout(timer);
      connection.stream.destroy();
      settle();
    };
    const timer = clock.setTimeout(
      () => finish(() => reject(new Error(`the server didn’t answer within ${timeoutMs} ms`))),
      timeoutMs,
    );
    // Never removed: a late error of the socket must not be unhandled.
    connection.on('error', (error: unknown) => finish(() => reject(error)));
    connection.once('end', () => finish(() => reject(new Error('the server hung up'))));
    converse(connection, () => finish(resolve));
  });
}

/**
 * Asks the server to cancel what a backend runs: a `CancelRequest` on a connection of its own, through TLS where
 * the pool uses TLS. Resolves when the server has received it.
 *
 * @param at the backend's address; `undefined`: the configured one, which is certain for a Unix socket only.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
 */
export async function cancelBackend(
  config: ClientConfig,
  at: SocketAddress | undefined,
  key: { readonly processId: number; readonly secretKey: number },
  timeoutMs: number,
  clock: Clock,
): Promise<void> {
  await request(at === undefined ? config : configAt(at, config), timeoutMs, clock, (connection, done) => {
    const send = (): void => {
      // The server sends the signal first and hangs up then: that is its answer.
      connection.removeAllListeners('end');
      connection.once('end', done);
      connection.cancel(key.processId, key.secretKey);
    };
    if (!config.ssl) connection.once('connect', send);
    else if (config.sslnegotiation === 'direct') connection.once('sslconnect', send);
    else {
      connection.once('connect', () => connection.requestSsl());
      connection.once('sslconnect', send);
    }
  });
}

/**
 * Asks whether a server accepts and answers, without logging in and so without taking one of its connections:
 * the answer to `SSLRequest` is one byte.
 */
export async function probeServer(config: ClientConfig, timeoutMs: number, clock: Clock): Promise<void> {
  await request({ ...config, ssl: false }, timeoutMs, clock, (connection, done) => {
    connection.once('connect', () => {
      connection.stream.once('data', done);
      connection.requestSsl();
    });
  });
}
