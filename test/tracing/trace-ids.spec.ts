import { Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { register, Registry } from 'prom-client';
import { getHttpClientToken, HttpClient, PoolingModule, PoolRegistry, type DatabasePool } from 'nestjs-pooling';
import { createTestDatabase, type TestDatabase } from '#test/support/database.js';
import { CountingServer } from '#test/support/http-server.js';
import { SpanRecorder } from '#test/support/spans.js';

let database: TestDatabase;
let recorder: SpanRecorder;
beforeAll(async () => {
  database = await createTestDatabase();
});
beforeEach(() => {
  recorder = new SpanRecorder();
});
afterEach(() => {
  vi.restoreAllMocks();
  recorder[Symbol.dispose]();
});
afterAll(() => database.drop());

interface Application extends AsyncDisposable {
  readonly pool: DatabasePool;
  readonly http: HttpClient;
}

async function start(): Promise<Application> {
  const testing = await Test.createTestingModule({
    imports: [
      PoolingModule.forRoot({
        database: { url: database.url, size: 1, maxOverflow: 0, slowAcquireMs: 1, slowQueryMs: 1 },
        http: {},
      }),
    ],
  }).compile();
  const application = testing.createNestApplication({ logger: false });
  await application.init();
  return {
    pool: application.get(PoolRegistry).database(),
    http: application.get<HttpClient>(getHttpClientToken()),
    [Symbol.asyncDispose]: () => application.close(),
  };
}

describe('the trace id', () => {
  it('stands in holders, and in the log lines of slow acquires and queries', async () => {
    const lines: Record<string, unknown>[] = [];
    vi.spyOn(Logger.prototype, 'warn').mockImplementation((line: unknown) => {
      if (typeof line === 'object') lines.push(line as Record<string, unknown>);
    });
    await using application = await start();
    const { pool } = application;
    const traceId = await recorder.run('request', async (span) => {
      const client = await pool.connect();
      expect(pool.holders()).toMatchObject([{ traceId: span.spanContext().traceId }]);
      await client.query('select pg_sleep(0.01)');
      const second = pool.connect();
      setTimeout(() => client.release(), 20);
      (await second).release();
      return span.spanContext().traceId;
    });
    for (const event of ['slow-query', 'slow-acquire']) {
      const found = lines.filter((line) => line['event'] === event);
      expect(found.length).toBeGreaterThan(0);
      expect(found.every((line) => line['traceId'] === traceId)).toBe(true);
    }
  });

  it("is a histogram's exemplar where prom-client's registry speaks OpenMetrics, and nowhere else", async () => {
    await using server = await CountingServer.listen((_request, response) => response.end());
    await using application = await start();
    const { pool, http } = application;
    await pool.query('select 1');
    const traceId = await recorder.run('request', async (span) => {
      await pool.query('select 1');
      await http.get(server.url);
      return span.spanContext().traceId;
    });
    const usual = await register.metrics();
    expect(usual).not.toContain(traceId);
    register.setContentType(Registry.OPENMETRICS_CONTENT_TYPE as never);
    try {
      const lines = (await register.metrics()).split('\n').filter((line) => line.includes(traceId));
      const names = new Set(lines.map((line) => line.split('{', 1)[0]));
      expect([...names]).toEqual([
        'db_pool_acquire_seconds_bucket',
        'db_pool_usage_seconds_bucket',
        'http_pool_acquire_seconds_bucket',
        'http_client_request_seconds_bucket',
      ]);
      for (const line of lines) {
        expect(line).toMatch(/ # \{trace_id="[\da-f]{32}",span_id="[\da-f]{16}"\} [\d.e-]+ \d{10}(\.\d+)?$/);
      }
    } finally {
      register.setContentType(Registry.PROMETHEUS_CONTENT_TYPE as never);
    }
  });
});
