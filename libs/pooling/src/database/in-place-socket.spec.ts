import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, Socket, type AddressInfo, type Server } from 'node:net';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Kysely } from 'kysely';
import type { PoolClient } from 'pg';
import { to } from 'pg-copy-streams';
import { onTestFinished } from 'vitest';
import { useTestDatabase } from '#test/support/database.js';
import { usePools } from '#test/support/pools.js';
import type { DatabasePool } from './database-pool.js';
import { InPlaceSocket, type InPlaceReader } from './in-place-socket.js';
import { createKysely } from './kysely/kysely.js';
import { protocolOf } from './pg-internals.js';

/** A reader that keeps what it was given, copied and as it is. */
class KeepingReader implements InPlaceReader {
  readsInPlace = true;
  readonly copies: string[] = [];
  readonly kept: Buffer[] = [];

  readInPlace(bytes: Buffer): void {
    this.copies.push(bytes.toString());
    this.kept.push(bytes);
  }
}

describe('a socket that is read in place', () => {
  let server: Server;
  let socket: InPlaceSocket;
  let other: Socket;

  beforeEach(async () => {
    server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const accepted = once(server, 'connection') as Promise<[Socket]>;
    socket = new InPlaceSocket();
    socket.connect((server.address() as AddressInfo).port, '127.0.0.1');
    [other] = await accepted;
  });
  afterEach(() => {
    socket.destroy();
    other.destroy();
    server.close();
  });

  it('gives data in buffers of their own to whoever listens, as any socket', async () => {
    const heard: Buffer[] = [];
    socket.on('data', (bytes) => heard.push(bytes));
    for (const text of ['first', 'then']) {
      other.write(text);
      await once(socket, 'data');
    }
    expect(heard.map(String)).toEqual(['first', 'then']);
  });

  it('gives its reader the bytes where they are, which the next read overwrites', async () => {
    const reader = new KeepingReader();
    const heard: Buffer[] = [];
    socket.on('data', (bytes) => heard.push(bytes));
    socket.reader = reader;
    for (const text of ['first', 'after']) {
      other.write(text);
      await vi.waitFor(() => expect(reader.copies).toContain(text));
    }
    expect(heard).toEqual([]);
    expect(reader.kept.map(String)).toEqual(['after', 'after']);
  });

  it('passes its reader by while that reads nothing in place', async () => {
    const reader = new KeepingReader();
    reader.readsInPlace = false;
    socket.reader = reader;
    socket.on('data', () => undefined);
    other.write('for the listener');
    const [bytes] = (await once(socket, 'data')) as [Buffer];
    expect([String(bytes), reader.copies]).toEqual(['for the listener', []]);
  });

  it('gives the bytes to all listeners where there are more than one', async () => {
    const reader = new KeepingReader();
    const heard: string[] = [];
    socket.reader = reader;
    socket.on('data', (bytes) => heard.push(`one ${bytes.toString()}`));
    socket.on('data', (bytes) => heard.push(`two ${bytes.toString()}`));
    other.write('x');
    await vi.waitFor(() => expect(heard).toEqual(['one x', 'two x']));
    expect(reader.copies).toEqual([]);
  });

  it('keeps the order of what came while it was paused, and of what comes then', async () => {
    const reader = new KeepingReader();
    const heard: string[] = [];
    socket.on('data', (bytes) => heard.push(bytes.toString()));
    socket.reader = reader;
    socket.pause();
    other.write('while paused');
    await new Promise((resolve) => setImmediate(resolve));
    expect([heard, reader.copies]).toEqual([[], []]);
    socket.resume();
    await vi.waitFor(() => expect([...heard, ...reader.copies].join('')).toBe('while paused'));
    other.write(', then');
    await vi.waitFor(() => expect([...heard, ...reader.copies].join('')).toBe('while paused, then'));
  });

  it('leaves the bytes to whoever reads when they are readable', async () => {
    const reader = new KeepingReader();
    socket.reader = reader;
    socket.on('data', () => undefined);
    const read: unknown[] = [];
    socket.on('readable', () => read.push(socket.read()));
    other.write('to be read');
    await vi.waitFor(() => expect(read.filter((bytes) => bytes !== null).map(String)).toEqual(['to be read']));
    expect(reader.copies).toEqual([]);
  });

  it('ends and closes as any socket', async () => {
    socket.reader = new KeepingReader();
    socket.on('data', () => undefined);
    const ended = once(socket, 'end');
    const closed = once(socket, 'close');
    other.end('bye');
    await ended;
    socket.end();
    await closed;
    expect([(socket.reader as KeepingReader).copies, socket.bytesRead]).toEqual([['bye'], 3]);
  });
});

describe('the connections of a pool', () => {
  const database = useTestDatabase('create table wide (id int primary key, body text)');
  const createPool = usePools('in place', () => ({ url: database.url, size: 1, maxOverflow: 0 }));

  beforeAll(async () => {
    await database.query(
      'insert into wide select n, repeat(md5(n::text), 1 + (n * 37) % 500) from generate_series(1, 200) as n',
    );
  });

  /** The socket of the pool's connection, and how often it was read in place. */
  async function socketOf(pool: DatabasePool): Promise<{ socket: InPlaceSocket; reads: () => number }> {
    const client = await pool.connect();
    const socket = protocolOf(client as never).stream as InPlaceSocket;
    client.release();
    const read = vi.spyOn(socket.reader as InPlaceReader, 'readInPlace');
    return { socket, reads: () => read.mock.calls.length };
  }

  /** A text whose statement has been prepared. */
  async function prepared(pool: DatabasePool, text: string, values: readonly unknown[]): Promise<void> {
    for (let times = 0; times < 2; times++) await pool.query(text, [...values]);
  }

  /** Sockets of the user's own, for `connection.stream`. */
  function ownSockets(): { readonly sockets: readonly Socket[]; stream(this: void): Socket } {
    const sockets: Socket[] = [];
    const stream = (): Socket => {
      const socket = new Socket();
      sockets.push(socket);
      return socket;
    };
    return { sockets, stream };
  }

  const WIDE = 'select id, body from wide where id >= $1 order by id';

  function digest(rows: readonly { body: string }[]): string {
    return createHash('md5')
      .update(rows.map(({ body }) => body).join(''))
      .digest('hex');
  }

  it('read the answers of prepared statements in place, however long they are', async () => {
    const pool = createPool();
    await prepared(pool, WIDE, [1]);
    const { reads } = await socketOf(pool);
    const { rows } = await pool.query<{ id: number; body: string }>(WIDE, [1]);
    expect(reads()).toBeGreaterThan(1);
    expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
    const [expected] = await database.query<{ digest: string }>(
      "select md5(string_agg(body, '' order by id)) as digest from wide",
    );
    expect(digest(rows)).toBe(expected?.digest);
  });

  it('mix no answers of connections that are read in turn', async () => {
    const pool = createPool({ size: 5 });
    const expected = await pool.query<{ body: string }>(WIDE, [1]);
    const all = await Promise.all(Array.from({ length: 40 }, () => pool.query<{ body: string }>(WIDE, [1])));
    expect(new Set(all.map(({ rows }) => digest(rows)))).toEqual(new Set([digest(expected.rows)]));
  });

  it('give what is copied out in buffers that stay as they are', async () => {
    const pool = createPool({ size: 2 });
    await prepared(pool, WIDE, [150]);
    const client = await pool.connect();
    const chunks: Buffer[] = [];
    const keeping = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        chunks.push(chunk);
        // Others use the sockets' buffer before the next one is taken.
        pool.query(WIDE, [150]).then(() => done(), done);
      },
    });
    await pipeline(client.query(to('copy (select body from wide order by id) to stdout')), keeping);
    client.release();
    const bodies = Buffer.concat(chunks).toString().trimEnd().split('\n');
    const [expected] = await database.query<{ digest: string }>(
      "select md5(string_agg(body, '' order by id)) as digest from wide",
    );
    expect([bodies.length, digest(bodies.map((body) => ({ body })))]).toEqual([200, expected?.digest]);
  });

  it('pass on notices and notifications that come among answers', async () => {
    const pool = createPool();
    await pool.query(`create or replace function tell(word text) returns int language plpgsql as
      $$ begin raise notice 'a notice: %', word; perform pg_notify('words', word); return 1; end $$`);
    const client: PoolClient = await pool.connect();
    await client.query('listen words');
    const heard: unknown[] = [];
    client.on('notice', (notice) => heard.push(notice));
    client.on('notification', (message) => heard.push(message));
    for (const word of ['one', 'two', 'three', 'four']) await client.query('select tell($1)', [word]);
    await client.query(WIDE, [100]);
    client.release();
    const texts = heard.map((each) => (each as { payload?: string }).payload ?? (each as Error).message);
    expect(texts.toSorted()).toEqual(
      ['one', 'two', 'three', 'four'].flatMap((word) => [`a notice: ${word}`, word]).toSorted(),
    );
  });

  it.for([1, 6, 4_093])('keep nothing of what they have read, %i bytes at a time', async (size) => {
    const receive = InPlaceSocket.prototype.receive;
    const cutting = vi.spyOn(InPlaceSocket.prototype, 'receive').mockImplementation(function (
      this: InPlaceSocket,
      bytes,
    ) {
      let goesOn = true;
      for (let at = 0; at < bytes.length; at += size) {
        const piece = Buffer.from(bytes.subarray(at, at + size));
        goesOn = receive.call(this, piece) && goesOn;
        piece.fill(0xee);
      }
      return goesOn;
    });
    onTestFinished(() => cutting.mockRestore());
    const pool = createPool();
    const client = await pool.connect();
    const heard: unknown[] = [];
    client.on('notice', ({ message }) => heard.push(message));
    client.on('notification', ({ payload }) => heard.push(payload));
    await client.query(`listen pieces; create or replace function pg_temp.say(word text) returns text language plpgsql as
      $$ begin raise notice '%', word; perform set_config('application_name', word, false); return word; end $$`);
    for (const word of ['one', 'two', 'three']) {
      const { rows } = await client.query('select pg_temp.say($1) as said', [word]);
      expect(rows).toEqual([{ said: word }]);
      await client.query('select pg_notify($1, $2)', ['pieces', word]);
    }
    expect(heard).toEqual(['one', 'one', 'two', 'two', 'three', 'three']);
    for (let times = 0; times < 3; times++) {
      await expect(client.query('select 1 / $1::int', [0])).rejects.toThrow('division by zero');
      const { rows } = await client.query<{ id: number; body: string }>(WIDE, [198]);
      expect(rows.map(({ id, body }) => [id, body.length % 32])).toEqual([198, 199, 200].map((id) => [id, 0]));
    }
    const chunks: Buffer[] = [];
    for await (const chunk of client.query(to('copy (select id from wide order by id) to stdout')))
      chunks.push(chunk as Buffer);
    client.release();
    expect(Buffer.concat(chunks).toString()).toBe(Array.from({ length: 200 }, (_, n) => `${n + 1}\n`).join(''));
  });

  it('show all bytes to somebody else who listens to the socket', async () => {
    const pool = createPool();
    await prepared(pool, WIDE, [190]);
    const { socket, reads } = await socketOf(pool);
    let heard = 0;
    const before = socket.bytesRead;
    const count = (bytes: Buffer): void => void (heard += bytes.length);
    socket.on('data', count);
    await pool.query(WIDE, [190]);
    socket.off('data', count);
    expect([heard, reads()]).toEqual([socket.bytesRead - before, 0]);
  });

  it('go on with others when sending on some throws', async () => {
    const { sockets, stream } = ownSockets();
    const pool = createPool({ size: 10, connection: { stream } });
    await Promise.all(Array.from({ length: 30 }, (_, n) => pool.query('select $1::int as n', [n])));
    let thrown = 0;
    // More than are sent at once: the others leave together in a later turn.
    for (const socket of sockets.slice(0, 5)) {
      socket.write = () => {
        thrown++;
        throw new Error('this socket takes nothing more');
      };
    }
    const outcomes = await Promise.allSettled(
      Array.from({ length: 30 }, (_, n) => pool.query<{ n: number }>('select $1::int as n', [n])),
    );
    const failed = outcomes.filter(({ status }) => status === 'rejected');
    expect(thrown).toBeGreaterThanOrEqual(5);
    expect(failed.length).toBeLessThanOrEqual(thrown);
    const answered = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value.rows[0]?.n] : []));
    expect(answered).toHaveLength(30 - failed.length);
  });

  it('fail a transaction whose first statement can’t be sent because their stream throws', async () => {
    const { sockets, stream } = ownSockets();
    const db = createKysely<{ wide: { id: number } }>(createPool({ connection: { stream } }));
    const statement = (on: Kysely<{ wide: { id: number } }>) => on.selectFrom('wide').select('id').where('id', '<', 3);
    await statement(db).execute();
    (sockets[0] as Socket).write = () => {
      throw new Error('this socket takes nothing more');
    };
    const failed = db.transaction().execute((trx) => statement(trx).execute());
    await expect(failed).rejects.toThrow('this socket takes nothing more');
    expect(await db.transaction().execute((trx) => statement(trx).execute())).toHaveLength(2);
  });
});
