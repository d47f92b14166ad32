import { acquirerOf, firstForeignFrame, nameAcquirer, summariseHolders, type Holder } from './holders.js';

const LIBRARY_FILE = new URL('./pool.ts', import.meta.url);

function stackOf(...frames: string[]): string {
  return ['Error', ...frames.map((frame) => `    at ${frame}`)].join('\n');
}

describe('the position that acquired', () => {
  const own = `Pool.acquire (${LIBRARY_FILE.pathname}:195:36)`;
  const dependency = 'SelectQueryBuilder.execute (file:///app/node_modules/kysely/dist/builder.js:318:51)';

  it.each([
    [
      'a method',
      'OrdersService.create (/app/src/orders/orders.service.ts:42:7)',
      'OrdersService.create (orders.service.ts:42)',
    ],
    [
      'an asynchronous caller',
      'async OrdersService.create (file:///app/orders.service.js:42:7)',
      'OrdersService.create (orders.service.js:42)',
    ],
    ['a function without a name', '/app/src/jobs/nightly.ts:8:3', 'nightly.ts:8'],
    ['the same, as source maps put it', '<anonymous> (/app/src/jobs/nightly.ts:8:3)', 'nightly.ts:8'],
    [
      'a file on Windows',
      'OrdersService.create (C:\\app\\orders.service.ts:42:7)',
      'OrdersService.create (orders.service.ts:42)',
    ],
    ['a folder with brackets and blanks', 'load (/app/my pages/(shop)/page.ts:3:1)', 'load (page.ts:3)'],
  ])('is that of %s', (_what, frame, short) => {
    expect(firstForeignFrame(stackOf(own, dependency, frame, 'main (/app/main.ts:1:1)'))).toBe(short);
  });

  it('is that of a dependency when the application does not appear', () => {
    expect(firstForeignFrame(stackOf(own, 'Array.map (<anonymous>)', dependency, 'node:internal/timers:581:17'))).toBe(
      'SelectQueryBuilder.execute (builder.js:318)',
    );
  });

  it('is unknown when the library itself acquired, or nobody looked', () => {
    const timer = 'listOnTimeout (node:internal/timers:581:17)';
    expect(firstForeignFrame(stackOf(own, 'Array.map (<anonymous>)', timer))).toBeUndefined();
    expect(firstForeignFrame(undefined)).toBeUndefined();
  });
});

describe('on whose behalf a connection was acquired', () => {
  const service = 'OrdersService.place (/app/orders.service.ts:7:1)';
  const nest = 'file:///app/node_modules/@nestjs/core/router/router-execution-context.js:61:37';
  const labelOf = (...frames: string[]): string | undefined =>
    acquirerOf({ trace: { stack: stackOf(...frames) }, label: undefined, span: undefined }).label;

  it('is said by the label, where there is one', () => {
    const trace = { stack: stackOf(service, nest) };
    expect(acquirerOf({ trace, label: 'OrdersController.create', span: undefined })).toEqual({
      label: 'OrdersController.create',
      acquiredAt: 'OrdersService.place (orders.service.ts:7)',
      stack: trace.stack,
    });
  });

  it('is the outermost function of the application on the stack, awaited or not, that has a name', () => {
    expect(labelOf(service, '/app/jobs.ts:8:3')).toBe('OrdersService.place');
    expect(labelOf(service, 'async OrdersController.create (/app/orders.controller.ts:9:1)', nest)).toBe(
      'OrdersController.create',
    );
    expect(labelOf(service, 'OrdersController.create (/app/orders.controller.ts:9:1)')).toBe('OrdersController.create');
  });

  it('stays unknown when nothing of the application has a name, or nobody looked', () => {
    expect(labelOf('<anonymous> (/app/jobs.ts:3:1)', '/app/jobs.ts:8:3')).toBeUndefined();
    expect(labelOf('Query.run (/app/node_modules/pg-boss/boss.js:3:1)')).toBeUndefined();
    expect(acquirerOf(undefined)).toEqual({});
  });
});

describe('who acquired', () => {
  const label = 'OrdersController.create';
  it('is named once when the handler itself acquired', () => {
    expect(nameAcquirer({ label, acquiredAt: `${label} (orders.controller.ts:42)` })).toBe(
      'OrdersController.create (orders.controller.ts:42)',
    );
  });

  it('is the handler and the code that it called', () => {
    expect(nameAcquirer({ label, acquiredAt: 'OrdersService.place (orders.service.ts:7)' })).toBe(
      'OrdersController.create, in OrdersService.place (orders.service.ts:7)',
    );
  });

  it('is whatever is known', () => {
    expect(nameAcquirer({ label })).toBe(label);
    expect(nameAcquirer({ acquiredAt: 'nightly.ts:8' })).toBe('nightly.ts:8');
    expect(nameAcquirer({})).toBeUndefined();
  });
});

it('the three longest holders are summed up in one line', () => {
  const holder: Holder = { connection: 1, heldMs: 34_100, leaked: false, label: 'OrdersController.create' };
  const holders: Holder[] = [
    { ...holder, heldMs: 1_000 },
    { ...holder, inTransaction: true, active: false, statement: 'select 1' },
    { ...holder, heldMs: 2_000, active: true, statement: 'select 2', acquiredAt: 'nightly.ts:8' },
    { ...holder, heldMs: 500 },
  ];
  expect(summariseHolders(holders)).toBe(
    '34.1 s by OrdersController.create, idle in transaction, last ran: select 1; ' +
      '2.0 s by OrdersController.create, in nightly.ts:8, running: select 2; ' +
      '1.0 s by OrdersController.create',
  );
});

it('of one that is on a replica, its host is named', () => {
  const holder: Holder = {
    connection: 1,
    heldMs: 1_000,
    leaked: false,
    label: 'Orders.list',
    replica: 'db2.internal:5432',
  };
  expect(summariseHolders([{ ...holder, inTransaction: true, active: true }])).toBe(
    '1.0 s by Orders.list, on replica db2.internal:5432, in transaction',
  );
});
