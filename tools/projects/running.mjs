// An application as it is run: it answers, and ends on SIGTERM with exit code 0.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';

const START_MS = 60_000;
const STOP_MS = 30_000;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function fetchWhenUp(url, ended) {
  for (const startedAt = Date.now(); ;) {
    const answer = await fetch(url).catch(() => undefined);
    if (answer?.status === 200) return answer;
    if (ended()) throw new Error('it ended before it answered');
    if (Date.now() - startedAt > START_MS) throw new Error(`${url} gave ${answer?.status ?? 'no answer'} for too long`);
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

async function expectPage(url, type) {
  const answer = await fetch(url);
  const text = await answer.text();
  const is = answer.headers.get('content-type') ?? '';
  if (answer.status !== 200 || !is.startsWith(type) || text.length < 100) {
    throw new Error(`${url} gave ${answer.status}, ${is}, ${text.length} characters`);
  }
}

/** Starts an application, asks it everything once, and stops it. */
export async function runApplication(program, parameters, { cwd, env }) {
  const port = await freePort();
  const child = spawn(program, parameters, {
    cwd,
    env: { ...env, PORT: String(port) },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (printed += text));
  const ended = once(child, 'exit');
  try {
    const base = `http://127.0.0.1:${port}`;
    const health = await (await fetchWhenUp(`${base}/health`, () => child.exitCode !== null)).json();
    if (health.info?.database?.status !== 'up') throw new Error(`/health says ${JSON.stringify(health)}`);
    await expectPage(`${base}/metrics`, 'text/plain');
    await expectPage(`${base}/pools`, 'text/html');
    await expectPage(`${base}/pools/app.js`, 'text/javascript');
    await expectPage(`${base}/pools/uplot.js`, 'text/javascript');
    const items = await (await fetch(`${base}/items`)).json();
    if (items.sum !== 2 || items.size !== 1) throw new Error(`/items says ${JSON.stringify(items)}`);
    child.kill('SIGTERM');
    const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    const [code, signal] = await ended;
    clearTimeout(late);
    if (code !== 0) throw new Error(`it ended on SIGTERM with ${signal ?? code}`);
  } catch (error) {
    throw new Error(`${[program, ...parameters].join(' ')}: ${error.message}\n${printed.slice(-8_000)}`, {
      cause: error,
    });
  } finally {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await ended;
    }
  }
}
