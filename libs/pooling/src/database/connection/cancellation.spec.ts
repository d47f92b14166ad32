import dns from 'node:dns';
import { createServer, Socket, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { TcpProxy, type PostgresServer } from 'nestjs-pooling/testing';
import { startSecuredServer } from '#test/support/secured-server.js';
import { ManualClock } from '../../testing/manual-clock.js';
import { DatabasePool } from '../database-pool.js';
import type { DatabaseOptions } from '../options/options.js';

/** A name that the test lets point here and there: the certificate is for it. */
const NAME = 'localhost';
let server: PostgresServer;
let certificate: string;
let proxy: TcpProxy;

beforeAll(async () => {
  ({ server, certificate } = await startSecuredServer('secret', { unix_socket_directories: tmpdir() }));
  proxy = await TcpProxy.listen({ port: server.port });
});
afterAll(async () => {
  await proxy.close();
  await server.close();
});
afterEach(() => vi.restoreAllMocks());

/** Lets the name point to an address, as Node's sockets look it up. */
function pointTo(address: string): void {
  vi.restoreAllMocks();
  const { lookup } = dns;
  vi.spyOn(dns, 'lookup').mockImplementation(((name: string, ...rest: unknown[]) => {
    if (name !== NAME) return lookup(name, ...(rest as [never]));
    const answer = rest.at(-1) as (...parameters: unknown[]) => void;
    const all = (rest[0] as { all?: boolean }).all === true;
    process.nextTick(() => (all ? answer(null, [{ address, family: 4 }]) : answer(null, address, 4)));
  }) as never);
}

/** Another host under the same name, which counts who asks it. */
async function otherHost(port: number): Promise<{ asked(): number; server: Server }> {
  let asked = 0;
  const other = createServer((socket) => {
    asked++;
    socket.destroy();
  });
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.2', resolve));
  onTestFinished(() => void other.close());
  expect((other.address() as AddressInfo).address).toBe('127.0.0.2');
  return { asked: () => asked, server: other };
}

async function expectCancelled(options: DatabaseOptions, mark: string): Promise<void> {
  pointTo('127.0.0.1');
  const clock = new ManualClock();
  await using pool = new DatabasePool('moved', { size: 1, maxOverflow: 0, startup: 'lazy', ...options }, { clock });
  await pool.query('select 1');
  const other = await otherHost(proxy.port);
  pointTo('127.0.0.2');
  await expectEnded(pool, clock, mark);
  expect(other.asked()).toBe(0);
}

/** Expects of a query that is late that the server stops working on it. */
async function expectEnded(pool: DatabasePool, clock: ManualClock, mark: string): Promise<void> {
  await using admin = new DatabasePool('admin', { url: server.url });
  const running = async (): Promise<number | null> => {
    const text = `select 1 from pg_stat_activity where wait_event = 'PgSleep' and query like '%/* ${mark} */'`;
    return (await admin.query(text)).rowCount;
  };
  const slow = pool.query({ text: `select pg_sleep(60) /* ${mark} */`, query_timeout: 200 } as never);
  const late = expect(slow).rejects.toMatchObject({ code: 'ERR_POOL_QUERY_TIMEOUT' });
  await vi.waitFor(async () => expect(await running()).toBe(1));
  await clock.advance(210);
  await late;
  await vi.waitFor(async () => expect(await running()).toBe(0));
  expect(pool.statistics().cancelFailures).toBe(0);
}

const login = (): object => ({ user: 'postgres', database: 'postgres', password: 'secret' });

describe('a cancel request', () => {
  it('goes to the server of its connection, although the name points to another one by now', async () => {
    await expectCancelled({ connection: { host: NAME, port: proxy.port, ...login() }, prePing: false }, 'plain');
  });

  it('goes there through TLS, under the name that the certificate is for', async () => {
    const connection = { host: NAME, port: proxy.port, ...login(), ssl: { ca: certificate } };
    await expectCancelled({ connection, prePing: false }, 'tls');
  });

  it.each(['in plain text', 'through TLS'])(
    'goes there over a socket that the user’s own function makes, %s',
    async (how) => {
      const made: Socket[] = [];
      const stream = (): Socket => {
        made.push(new Socket());
        return made.at(-1) as Socket;
      };
      const ssl = how === 'through TLS' && { ca: certificate };
      const connection = { host: NAME, port: proxy.port, ...login(), stream, ssl };
      await expectCancelled({ connection, prePing: false }, how);
      // One that was cancelled, and one that asked for it.
      expect(made).toHaveLength(2);
    },
  );

  it('goes by the configured name through a tunnel of the user’s own, which knows where that is', async () => {
    const asked: unknown[] = [];
    class Tunnel extends Socket {
      override connect(...way: unknown[]): this {
        asked.push(way);
        return super.connect(proxy.port, '127.0.0.1');
      }
    }
    const connection = { host: 'inside.example', port: 6_543, ...login(), stream: () => new Tunnel() };
    await expectCancelled({ connection, prePing: false }, 'tunnel');
    expect(asked).toEqual([
      [6_543, 'inside.example'],
      [6_543, 'inside.example'],
    ]);
  });

  it('goes to a Unix socket by its path', async () => {
    const url = new URL(server.url);
    const clock = new ManualClock();
    const connection = { host: tmpdir(), port: Number(url.port), ...login() };
    await using pool = new DatabasePool('by socket', { connection, size: 1 }, { clock });
    await expectEnded(pool, clock, 'socket');
  });
});
