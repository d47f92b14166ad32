import { Agent, createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../core/clock.js';
import { HttpServerDrain } from './http-server-drain.js';

let server: Server;
let agent: Agent;
/** Set by a test that wants to answer by hand. */
let answer: (response: ServerResponse) => void;

beforeEach(async () => {
  answer = (response) => response.end('ok');
  server = createServer((_request, response) => answer(response));
  server.keepAliveTimeout = 60_000;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  agent = new Agent({ keepAlive: true, maxSockets: 1 });
});

afterEach(() => {
  agent.destroy();
  server.closeAllConnections();
  server.close();
});

function send(): Promise<IncomingMessage> {
  const { port } = server.address() as AddressInfo;
  return new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', agent }, (response) => {
      response.resume();
      response.on('end', () => resolve(response));
    }).on('error', reject);
  });
}

describe('draining an HTTP server', () => {
  it('ends a kept socket with the next answer on it', async () => {
    const before = await send();
    const drain = new HttpServerDrain(server, systemClock);
    drain.begin();
    const during = await send();
    expect(before.headers.connection).toBe('keep-alive');
    expect(during.headers.connection).toBe('close');
    drain.stop();
    expect((await send()).headers.connection).toBe('keep-alive');
  });

  it('is settled 50 ms after the last request on a kept socket, whatever comes on new ones', async () => {
    await send();
    const drain = new HttpServerDrain(server, systemClock);
    drain.begin();
    const begunAt = performance.now();
    await send();
    let stop = false;
    const others = (async () => {
      while (!stop) await send();
    })();
    await drain.settled();
    const tookMs = performance.now() - begunAt;
    stop = true;
    await others;
    expect(tookMs).toBeGreaterThanOrEqual(49);
    expect(tookMs).toBeLessThan(900);
  });

  it('lets a server close as soon as its last busy socket has been answered', async () => {
    let reply = (): void => {};
    const asked = new Promise<void>((resolve) => {
      answer = (response) => {
        reply = () => response.end('late');
        resolve();
      };
    });
    const late = send();
    await asked;
    const drain = new HttpServerDrain(server, systemClock);
    drain.begin();
    drain.reapIdle();
    const closed = once(server, 'close');
    server.close();
    const repliedAt = performance.now();
    reply();
    expect((await late).statusCode).toBe(200);
    await closed;
    drain.stop();
    // The socket was kept alive for a minute: it was busy when the server closed its idle ones.
    expect(performance.now() - repliedAt).toBeLessThan(5_000);
  });

  it('leaves no listener behind', () => {
    const events = ['request', 'connection', 'secureConnection'];
    const before = events.map((event) => server.listenerCount(event));
    const drain = new HttpServerDrain(server, systemClock);
    drain.begin();
    drain.begin();
    drain.stop();
    expect(events.map((event) => server.listenerCount(event))).toEqual(before);
  });
});
