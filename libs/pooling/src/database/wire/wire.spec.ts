import { once } from 'node:events';
import { createServer, connect, type Socket } from 'node:net';
import { types, Pool } from 'pg';
import { inject } from 'vitest';
import { SeededRandom } from '#test/support/random.js';
import { DatabasePool } from '../database-pool.js';
import { columnReader } from './column-readers.js';

const url = inject('databaseUrl');

/** Columns of many types; `$1` and `$2` make a statement that is prepared, and rows that differ. */
const EVERY_TYPE = `
  select n as int4, n::int2 * $1::int2 as int2, -n::int8 * 1234567890123 as int8, (n / 7.0)::numeric(20, 6) as "numeric",
    (n / 3.0)::float4 as float4, 'NaN'::float8 as nan, n % 2 = 0 as bool, null::text as nothing, 'ünïcödé ' || n as text,
    repeat('long text ', 1000) as long, '' as empty, decode('00ff7f80', 'hex') as bytea,
    timestamp '2025-02-28 23:59:59.285' + n * interval '1 day' as timestamp,
    timestamptz '2025-02-28 23:59:59.999999+05:30' - n * interval '1 hour' as timestamptz,
    timestamp 'infinity' as forever, timestamptz '0044-03-15 12:00:00+00 BC' as ides, date '2025-02-28' as date,
    time '12:34:56.789' as time, interval '1 year 2 days 03:04:05' as interval, array[n, null, n + 1] as ints,
    array['a', 'b c', null] as texts, jsonb_build_object('n', n, 'deep', jsonb_build_array(1, 'two')) as jsonb,
    '{"x":1}'::json as json, gen_random_uuid() is not null as uuid_made, point '(1,2)' as point, n as same, n + 1 as same
  from generate_series(1, $2::int) n order by n`;

/** Between pool and server: passes the server's answers on in pieces of random sizes. */
async function choppingServer(
  random: () => number,
): Promise<{ port: number; send: (bytes: Buffer) => void; close: () => Promise<void> }> {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  const clients = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => undefined);
    }
    clients.add(client);
    client.pipe(upstream);
    upstream.on('close', () => client.destroy());
    upstream.on('data', (bytes: Buffer) => {
      for (let at = 0; at < bytes.length;) {
        const size = 1 + Math.floor(random() * random() * 2_000);
        client.write(bytes.subarray(at, at + size));
        at += size;
      }
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    /** Says something that the server hasn't said. */
    send: (bytes) => {
      for (const client of clients) client.write(bytes);
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

describe('a wire', () => {
  it('reads what pg reads, column by column, with and without a time zone of its own', async () => {
    await using pool = new DatabasePool('wire', { url, size: 1, session: { timezone: 'UTC' } });
    const reference = new Pool({ connectionString: url, options: '-c timezone=UTC', max: 1 });
    try {
      for (const timezone of ['UTC', 'Asia/Kolkata', 'America/New_York', 'Africa/Monrovia']) {
        await pool.query(`set timezone to '${timezone}'`);
        await reference.query(`set timezone to '${timezone}'`);
        for (let use = 1; use <= 3; use++) {
          const expected = await reference.query(EVERY_TYPE, [use, 40]);
          const { rows, fields, command, rowCount } = await pool.query(EVERY_TYPE, [use, 40]);
          expect(rows).toEqual(expected.rows);
          expect(rows.length).toBe(40);
          expect(Object.keys(rows[0] as object)).toEqual(Object.keys(expected.rows[0] as object));
          expect({ fields, command, rowCount }).toEqual({
            fields: expected.fields,
            command: expected.command,
            rowCount: expected.rowCount,
          });
        }
      }
      // Of twelve uses: the first one isn't prepared, and each time zone may read the literals in another way.
      expect(pool.statistics().preparedStatementHits).toBe(12 - 1 - 4);
    } finally {
      await reference.end();
    }
  });

  it.each([1114, 1184])('reads ten thousand timestamps (%i) as pg does, to the millisecond', (dataTypeId) => {
    const parse = types.getTypeParser(dataTypeId as never, 'text') as (text: string) => unknown;
    const read = columnReader(dataTypeId, parse);
    const random = new SeededRandom(dataTypeId).next;
    const digits = (below: number, places: number): string =>
      String(Math.floor(random() * below)).padStart(places, '0');
    const zones = dataTypeId === 1114 ? [''] : ['+00', '-03', '+05:30', '+12:45', '-00:19:32'];
    for (let round = 0; round < 10_000; round++) {
      const places = Math.floor(random() * 7);
      const fraction = places === 0 ? '' : `.${digits(10 ** places, places)}`;
      const day = `${digits(9_999, 4)}-${String(1 + Math.floor(random() * 12)).padStart(2, '0')}-${digits(28, 2)}`;
      const zone = zones[Math.floor(random() * zones.length)] as string;
      const era = random() < 0.05 ? ' BC' : '';
      const text = `${day} ${digits(24, 2)}:${digits(60, 2)}:${digits(60, 2)}${fraction}${zone}${era}`;
      const bytes = Buffer.from(`..${text}+99`);
      expect([text, read(bytes, 2, 2 + text.length)]).toEqual([text, parse(text)]);
    }
  });

  it('leaves a type to whoever has set a parser for it', async () => {
    await using pool = new DatabasePool('wire', {
      url,
      size: 1,
      onConnect: (client) => client.setTypeParser(23, 'text', (text) => `int ${text}`),
    });
    for (let use = 0; use < 3; use++) {
      expect((await pool.query('select $1::int as n', [7])).rows).toEqual([{ n: 'int 7' }]);
    }
  });

  it('puts together answers that come in pieces, with notices and notifications in between, and queries of pg before and after', async () => {
    const random = new SeededRandom(20_261_123).next;
    const { port, close } = await choppingServer(random);
    const heard: string[] = [];
    try {
      const target = new URL(url);
      target.port = String(port);
      await using pool = new DatabasePool('wire', { url: target.href, size: 1 });
      await pool.query(
        "create function pg_temp.speak(n int) returns int as $$ begin raise notice 'said %', n; perform pg_notify('wire', n::text); return n; end $$ language plpgsql",
      );
      await pool.withConnection(async (client) => {
        client.on('notice', ({ message }) => heard.push(String(message)));
        client.on('notification', ({ payload }) => heard.push(`notified ${payload}`));
        await client.query('listen wire');
        for (let round = 0; round < 200; round++) {
          const n = Math.floor(random() * 200);
          const { rows } = await client.query('select pg_temp.speak($1) as n', [n]);
          expect(rows).toEqual([{ n }]);
          expect(heard.splice(0)).toEqual([`said ${n}`, `notified ${n}`]);
          const many = await client.query<{ n: number; t: string }>(
            "select n, repeat('x', n) as t from generate_series(1, $1::int) n",
            [n],
          );
          expect(many.rows.map(({ n, t }) => [n, t.length])).toEqual(
            Array.from({ length: n }, (_, i) => [i + 1, i + 1]),
          );
          if (round % 7 === 0) {
            const simple = await client.query('select 1 as one; select 2 as two');
            expect((simple as unknown as { rows: unknown[] }[]).map(({ rows: [row] }) => row)).toEqual([
              { one: 1 },
              { two: 2 },
            ]);
          }
          if (round % 11 === 0)
            await expect(client.query('select 1 / $1::int', [0])).rejects.toThrow('division by zero');
        }
      });
      expect(pool.statistics()).toMatchObject({ opened: 1, size: 1 });
    } finally {
      await close();
    }
  });

  it('gives up a connection that gets an invalid message, with the query that runs on it', async () => {
    const { port, send, close } = await choppingServer(() => 0.5);
    try {
      const target = new URL(url);
      target.port = String(port);
      await using pool = new DatabasePool('wire', { url: target.href, size: 1, maxOverflow: 0 });
      for (let use = 0; use < 3; use++) await pool.query('select $1::int as n', [use]);
      for (const nonsense of [Buffer.from('no message at all'), Buffer.from([0x44, 0, 0, 0, 0, 1, 2, 3])]) {
        const slept = pool.query('select pg_sleep($1)', [0.5]);
        await expect.poll(() => pool.holders()[0]?.active).toBe(true);
        send(nonsense);
        await expect(slept).rejects.toThrow(/no message of its protocol|invalid response|terminated|lost/);
        expect((await pool.query('select $1::int as n', [7])).rows).toEqual([{ n: 7 }]);
      }
    } finally {
      await close();
    }
  });

  it('sends parameters of every kind and size', async () => {
    await using pool = new DatabasePool('wire', { url, size: 1 });
    const text = 'select $1::text as text, length($2::bytea) as bytes, $3::text is null as missing';
    const values = ['', 'a', 'ünïcödé 🐘', 'x'.repeat(39), 'x'.repeat(41), 'é'.repeat(40), 'y'.repeat(1_000_000)];
    for (const value of values) {
      const bytes = Buffer.alloc(value.length, 7);
      const { rows } = await pool.query(text, [value, bytes, undefined]);
      expect(rows).toEqual([{ text: value, bytes: value.length, missing: true }]);
    }
  });
});
