/** `npm run load -- --help` tells. */
import autocannon from 'autocannon';
import { number, readCommandLine, text } from './command-line.mjs';

const { values: options } = readCommandLine({
  usage: 'npm run load -- [options]',
  about: 'Drives the running demo with a mix of requests, so that there is something to watch.',
  options: {
    seconds: number('how long, in seconds', { fallback: 15, least: 1 }),
    connections: number('how many requests at once', { fallback: 64, least: 1 }),
    url: text('address', 'where the shop is', { fallback: `http://127.0.0.1:${process.env.PORT || 3000}` }),
  },
});

const CUSTOMERS = 2_000;
const ORDERS = 12_000;
const PRODUCTS = 690;
const WORDS = ['oak', 'lamp', 'wool', 'basket', 'steel', 'mug', 'walnut', 'rug', 'zinc', 'bench'];
const JSON_HEADERS = { 'content-type': 'application/json' };

const upTo = (limit) => 1 + Math.floor(Math.random() * limit);
const upToSkewed = (limit) => 1 + Math.floor(Math.random() ** 2.5 * limit);

/** What people do in a shop: look around, look at an order, ask where it is, and buy. */
const KINDS = [
  { name: 'search products', share: 0.35, make: () => get(`/products?search=${WORDS[upTo(WORDS.length) - 1]}`) },
  { name: 'read a product', share: 0.2, make: () => get(`/products/${upToSkewed(PRODUCTS)}`) },
  { name: 'read an order', share: 0.25, make: () => get(`/orders/${upTo(ORDERS)}`) },
  { name: 'ask the carrier', share: 0.1, make: () => get(`/orders/${upTo(ORDERS - 500)}/shipping`) },
  { name: 'place an order', share: 0.1, make: () => post('/orders', newOrder()) },
];

function get(path) {
  return { method: 'GET', path };
}

function post(path, body) {
  return { method: 'POST', path, headers: JSON_HEADERS, body: JSON.stringify(body) };
}

function newOrder() {
  const products = new Set(Array.from({ length: upTo(4) }, () => upToSkewed(PRODUCTS)));
  return {
    customerId: upTo(CUSTOMERS),
    lines: [...products].map((productId) => ({ productId, quantity: upToSkewed(3) })),
  };
}

function choose() {
  let chance = Math.random();
  return KINDS.find(({ share }) => (chance -= share) < 0) ?? KINDS[0];
}

async function isUp() {
  try {
    return (await fetch(new URL('/health/live', options.url))).ok;
  } catch {
    return false;
  }
}

if (!(await isUp())) {
  console.error(`Nobody answers at ${options.url}: start the demo first, with npm start`);
  process.exit(1);
}

const answers = new Map(KINDS.map(({ name }) => [name, new Map()]));
console.log(`${options.connections} connections to ${options.url} for ${options.seconds} s. Meanwhile, elsewhere:
  watch -n1 "curl -s ${options.url}/metrics | grep -E '^db_pool_(in_use|waiting|available|size)|^http_pool_(in_use|waiting)'"
  curl -s ${options.url}/health
`);

const result = await autocannon({
  url: options.url,
  connections: options.connections,
  duration: options.seconds,
  timeout: 30,
  requests: [
    {
      setupRequest(request, context) {
        const { name, make } = choose();
        context.name = name;
        const made = make();
        return { ...request, ...made, headers: { ...request.headers, ...made.headers } };
      },
      onResponse(status, _body, context) {
        const counts = answers.get(context.name);
        counts.set(status, (counts.get(status) ?? 0) + 1);
      },
    },
  ],
});

const { latency, requests } = result;
console.log(`${requests.total} requests, ${Math.round(requests.average)} a second`);
console.log(`milliseconds: p50 ${latency.p50}, p90 ${latency.p90}, p99 ${latency.p99}, longest ${latency.max}`);
console.log(`connections that failed: ${result.errors}, of them timed out: ${result.timeouts}\n`);
for (const [name, counts] of answers) {
  const statuses = [...counts].sort(([a], [b]) => a - b).map(([status, count]) => `${count} × ${status}`);
  console.log(`  ${name.padEnd(16)} ${statuses.join(', ') || 'none'}`);
}
console.log(`
  409: not enough in stock. 502 and 504: the carrier's odd failures and slow answers, passed on.
  What the pools went through: curl -s ${options.url}/metrics | grep -E '^(db|http)_pool_'
  Where an acquire's time goes: db_pool_acquire_seconds; who holds connections: db_pool_usage_seconds`);
