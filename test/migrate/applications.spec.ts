/** The same requests to each application, before and after: they answer alike, and end. */
import { createServer, type Server } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { INestApplication, Type } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import request from 'supertest';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';

let app: INestApplication;

async function start(project: string, side: string): Promise<void> {
  const { AppModule } = (await import(`./${project}/${side}/app.module.ts`)) as { AppModule: Type };
  const testing = await Test.createTestingModule({ imports: [AppModule] }).compile();
  app = testing.createNestApplication({ logger: false });
  await app.listen(0, '127.0.0.1');
}

describe.each(['pg-pool', 'nestjs-kysely', 'typeorm'])('%s', (project) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await createTestDatabase();
    await database.query(
      "create table orders (id int generated always as identity primary key, item text not null check (item <> ''))",
    );
    vi.stubEnv('DATABASE_URL', database.url);
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await app.close();
    // A pg.Pool has ended before its connections have.
    const others =
      'select count(*)::int as left from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()';
    await expect.poll(() => database.query(others)).toEqual([{ left: 0 }]);
    await database.drop();
  });

  it.each(['before', 'after'])('%s: lists, creates, and creates nothing where one is wrong', async (side) => {
    await start(project, side);
    const server = app.getHttpServer() as Server;
    await request(server).get('/orders').expect(200, []);
    await request(server)
      .post('/orders')
      .send({ items: ['tea', 'rice'] })
      .expect(201, { created: 2 });
    await request(server)
      .post('/orders')
      .send({ items: ['salt', ''] })
      .expect(500);
    await request(server)
      .get('/orders')
      .expect(200, [
        { id: 1, item: 'tea' },
        { id: 2, item: 'rice' },
      ]);
    await request(server)
      .get('/health/ready')
      .expect(side === 'after' ? 200 : 404);
  });
});

describe('axios', () => {
  let carrier: Server;

  beforeEach(async () => {
    carrier = createServer((incoming, answer) => {
      const { method, url, headers } = incoming;
      answer.setHeader('content-type', 'application/json');
      if (headers['x-api-key'] !== 'key') answer.writeHead(401).end('{}');
      else if (url === '/parcels?state=sent') answer.end('[{"id":1,"state":"sent"}]');
      else if (url === '/parcels/1') answer.end('{"id":1,"state":"sent"}');
      else if (method === 'POST' && url === '/parcels') {
        let body = '';
        incoming.on('data', (part: Buffer) => (body += part.toString()));
        incoming.on('end', () => answer.end(JSON.stringify({ id: 2, ...(JSON.parse(body) as object) })));
      } else answer.writeHead(url === '/parcels/7' ? 404 : 500).end('{}');
    }).listen(0, '127.0.0.1');
    await once(carrier, 'listening');
    vi.stubEnv('CARRIER_URL', `http://127.0.0.1:${(carrier.address() as AddressInfo).port}`);
    vi.stubEnv('CARRIER_KEY', 'key');
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await app.close();
    carrier.close();
    carrier.closeAllConnections();
    await once(carrier, 'close');
  });

  it.each(['before', 'after'])('%s: finds, gets and creates, and hands failures on', async (side) => {
    await start('axios', side);
    const server = app.getHttpServer() as Server;
    await request(server)
      .get('/parcels?state=sent')
      .expect(200, [{ id: 1, state: 'sent' }]);
    await request(server).get('/parcels/1').expect(200, { id: 1, state: 'sent' });
    await request(server).post('/parcels').send({ state: 'new' }).expect(201, { id: 2, state: 'new' });
    await request(server).get('/parcels/7').expect(404);
    await request(server).get('/parcels/8').expect(502);
  });
});
