/** A process of a fleet: answers each request with a query of some milliseconds, and ends in order at SIGTERM. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { DatabasePool } from '#pooling/database/database-pool.js';

const settings = JSON.parse(process.env['FLEET_WORKER'] as string) as {
  url: string;
  budget: { connections: number; checkMs: number };
};
const pool = new DatabasePool('fleet', {
  url: settings.url,
  applicationName: 'fleet',
  size: 60,
  maxOverflow: 0,
  minIdle: 1,
  budget: settings.budget,
});

const server = createServer((request, response) => {
  const answer = (status: number, body: unknown): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
  };
  if (request.url === '/statistics') return answer(200, pool.statistics());
  const ms = Number(new URL(request.url ?? '/', 'http://fleet').searchParams.get('ms') ?? 20);
  pool.query('select pg_sleep($1::float8 / 1000)', [ms]).then(
    () => answer(200, 'ok'),
    (error: Error & { code?: string; cause?: { code?: string } }) =>
      answer(503, { code: error.code, cause: error.cause?.code, message: error.message }),
  );
});
server.listen(0, '127.0.0.1', () => {
  pool.start();
  process.stdout.write(`port ${(server.address() as AddressInfo).port}\n`);
});

process.once('SIGTERM', () => {
  // Keep-alive sockets without a request are closed at once, the others when theirs is answered.
  server.close(() => void pool.close({ deadlineMs: 10_000 }));
});
