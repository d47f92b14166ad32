import { Agent, createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../core/clock.js';
import { ManualClock } from '../testing/manual-clock.js';
import { HttpServerDrain } from './http-server-drain.js';

let server: Server;
let agent: Agent;
let port: number;
/** Set by a test that wants to answer by hand. */
let answer: (response: ServerResponse) => void;

beforeEach(async () => {
  answer = (response) => response.end('ok');
  server = createServer((_request, response) => answer(response));
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
});

afterEach(() => {
  agent.destroy();
  server.closeAllConnections();
  server.close();
});

function send(through = agent): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', agent: through }, (response) => {
      response.resume();
      response.on('end', () => resolve(response));
    }).on('error', reject);
  });
}

describe('draining an HTTP server', () => {
  it('stops listening, and lets a client leave its kept socket with one more answer', async () => {
    const clock = new ManualClock();
    const drain = new HttpServerDrain(server, clock);
    expect((await send()).headers.connection).toBe('keep-alive');
    const settled = drain.settle();
    await vi.waitFor(() => expect(drain.listening).toBe(false));
    expect((await send()).headers.connection).toBe('close');
    await clock.advance(1_000);
    await settled;
    await expect(send()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    drain.stop();
  });

  it('says so in the answers that are under way, too', async () => {
    const drain = new HttpServerDrain(server, systemClock);
    let reply = (): void => {};
    const asked = new Promise<void>((resolve) => {
      answer = (response) => {
        reply = () => response.end('late');
        resolve();
      };
    });
    const late = send();
    await asked;
    await drain.settle();
    reply();
    expect((await late).headers.connection).toBe('close');
    drain.stop();
  });

  it('is settled 50 ms after the last request', async () => {
    const clock = new ManualClock();
    const drain = new HttpServerDrain(server, clock);
    const clients = [new Agent({ keepAlive: true }), new Agent({ keepAlive: true })];
    for (const each of clients) await send(each);
    let isSettled = false;
    const settled = drain.settle().then(() => (isSettled = true));
    await vi.waitFor(() => expect(drain.listening).toBe(false));
    await clock.advance(40);
    await send(clients[0]);
    await clock.advance(40);
    expect(isSettled).toBe(false);
    await clock.advance(20);
    await settled;
    for (const each of clients) each.destroy();
    drain.stop();
  });

  it('is settled after a second, whoever goes on', async () => {
    const clock = new ManualClock();
    const drain = new HttpServerDrain(server, clock);
    const clients = Array.from({ length: 30 }, () => new Agent({ keepAlive: true }));
    for (const each of clients) await send(each);
    let isSettled = false;
    const settled = drain.settle().then(() => (isSettled = true));
    await vi.waitFor(() => expect(drain.listening).toBe(false));
    for (const each of clients.slice(1, 25)) {
      await send(each);
      await clock.advance(40);
    }
    expect(isSettled).toBe(false);
    await send(clients[25]);
    await clock.advance(50);
    await settled;
    for (const each of clients) each.destroy();
    drain.stop();
  });

  it('is settled at once when nobody is connected', async () => {
    const clock = new ManualClock();
    const drain = new HttpServerDrain(server, clock);
    await drain.settle();
    expect(clock.pendingTimers).toBe(0);
    drain.stop();
  });

  it('closes what falls idle later, so that the server does not wait for its keep-alive time', async () => {
    const drain = new HttpServerDrain(server, systemClock);
    let reply = (): void => {};
    const asked = new Promise<void>((resolve) => {
      answer = (response) => {
        // An answer that has begun can't say any more that it is the last.
        response.write('be');
        reply = () => response.end('gun');
        resolve();
      };
    });
    const late = send();
    await asked;
    await drain.settle();
    drain.reapIdle();
    const closed = once(server, 'close');
    server.close();
    const repliedAt = performance.now();
    reply();
    expect((await late).headers.connection).toBe('keep-alive');
    await closed;
    drain.stop();
    expect(performance.now() - repliedAt).toBeLessThan(30_000);
  });

  it('lets the server be closed after it', async () => {
    const drain = new HttpServerDrain(server, systemClock);
    await drain.settle();
    await drain.settle();
    const closed = once(server, 'close');
    server.close();
    expect(await closed).toEqual([]);
    drain.stop();
  });

  it('leaves no listener behind', async () => {
    const events = ['request', 'connection', 'secureConnection'];
    const before = events.map((event) => server.listenerCount(event));
    const drain = new HttpServerDrain(server, systemClock);
    await drain.settle();
    drain.stop();
    expect(events.map((event) => server.listenerCount(event))).toEqual(before);
  });
});
