import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { systemClock } from '../core/clock.js';
import { becomes, delay } from './delay.js';
import { TcpProxy } from './tcp-proxy.js';

/** A server that says back what it hears, and remembers it. */
class Echo {
  readonly heard: Buffer[] = [];
  readonly sockets = new Set<Socket>();
  readonly errors: string[] = [];
  readonly #server: Server;

  constructor() {
    this.#server = createServer({ allowHalfOpen: true }, (socket) => {
      this.sockets.add(socket);
      socket.on('data', (bytes) => {
        this.heard.push(bytes);
        socket.write(bytes);
      });
      socket.on('end', () => socket.end());
      socket.on('error', (error: NodeJS.ErrnoException) => this.errors.push(error.code ?? error.message));
      socket.on('close', () => this.sockets.delete(socket));
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return (this.#server.address() as AddressInfo).port;
  }

  get text(): string {
    return Buffer.concat(this.heard).toString();
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

/** A client that remembers what it was told and how it ended. */
class Caller {
  readonly socket: Socket;
  readonly heard: Buffer[] = [];
  ended = false;
  closed = false;
  error: string | undefined = undefined;

  constructor(port: number) {
    this.socket = connect({ port, host: '127.0.0.1' });
    this.socket.on('data', (bytes) => this.heard.push(bytes));
    this.socket.on('end', () => (this.ended = true));
    this.socket.on('error', (error: NodeJS.ErrnoException) => (this.error = error.code));
    this.socket.on('close', () => (this.closed = true));
  }

  get text(): string {
    return Buffer.concat(this.heard).toString();
  }
}

async function until(condition: () => boolean): Promise<void> {
  if (!(await becomes(condition, 30_000, 2))) throw new Error(`didn't come true: ${condition.toString()}`);
}

describe('TcpProxy', () => {
  let echo: Echo;
  let proxy: TcpProxy;
  const callers: Caller[] = [];

  beforeEach(async () => {
    echo = new Echo();
    proxy = await TcpProxy.listen({ port: await echo.listen() });
  });

  afterEach(async () => {
    for (const { socket } of callers.splice(0)) socket.destroy();
    await proxy.close();
    await echo.close();
  });

  function call(): Caller {
    const caller = new Caller(proxy.port);
    callers.push(caller);
    return caller;
  }

  async function callAndHear(text = 'hello'): Promise<Caller> {
    const caller = call();
    caller.socket.write(text);
    await until(() => caller.text === text);
    return caller;
  }

  it('forwards both ways, ends included', async () => {
    const caller = await callAndHear();
    caller.socket.end();
    await until(() => caller.closed && echo.sockets.size === 0);
    expect(caller).toMatchObject({ ended: true, error: undefined });
    expect(echo.errors).toEqual([]);
    await until(() => proxy.connections === 0);
  });

  it('forwards megabytes unchanged and in order, even slowed down', async () => {
    proxy.delay(5);
    const sent = Buffer.alloc(4_000_000, (Math.PI * 1e15).toString(36));
    const caller = call();
    caller.socket.write(sent);
    await until(() => caller.heard.reduce((sum, bytes) => sum + bytes.length, 0) === sent.length);
    expect(Buffer.concat(caller.heard).equals(sent)).toBe(true);
    expect(proxy.bytes).toEqual({ toServer: sent.length, toClient: sent.length });
  });

  it('passes a reset on in both directions', async () => {
    const first = await callAndHear();
    first.socket.resetAndDestroy();
    await until(() => echo.errors.length === 1);
    expect(echo.errors).toEqual(['ECONNRESET']);

    const second = await callAndHear();
    for (const socket of echo.sockets) socket.resetAndDestroy();
    await until(() => second.closed);
    expect(second.error).toBe('ECONNRESET');
  });

  it('refuses connections, leaves open ones alone, and comes back on the same port', async () => {
    const { port } = proxy;
    const early = await callAndHear();
    await proxy.refuse();
    const refused = call();
    await until(() => refused.closed);
    expect(refused.error).toBe('ECONNREFUSED');
    early.socket.write(' again');
    await until(() => early.text === 'hello again');

    await proxy.forward();
    expect(proxy.port).toBe(port);
    await callAndHear();
  });

  it('resets connections on arrival and counts them', async () => {
    await proxy.reset();
    const reset = call();
    await until(() => reset.closed);
    expect(reset.error).toBe('ECONNRESET');
    expect(proxy.accepted).toBe(1);
    expect(echo.sockets.size).toBe(0);
  });

  it('stalls new connections until it forwards again', async () => {
    await proxy.stall();
    const stalled = call();
    stalled.socket.write('patience');
    await until(() => proxy.accepted === 1);
    await delay(50);
    expect(stalled.text).toBe('');
    expect(echo.sockets.size).toBe(0);
    await proxy.forward();
    await until(() => stalled.text === 'patience');
  });

  it('delays each direction by itself', async () => {
    const caller = await callAndHear('a');
    proxy.delay(300, 'toClient');
    const startedAt = systemClock.now();
    caller.socket.write('b');
    await until(() => echo.text === 'ab');
    expect(caller.text).toBe('a');
    await until(() => caller.text === 'ab');
    expect(systemClock.now() - startedAt).toBeGreaterThanOrEqual(299);
  });

  it('throttles to the rate that was asked for', async () => {
    proxy.throttle(100_000, 'toServer');
    const startedAt = systemClock.now();
    const caller = call();
    caller.socket.write(Buffer.alloc(30_000, 'x'));
    await until(() => caller.text.length === 30_000);
    expect(systemClock.now() - startedAt).toBeGreaterThanOrEqual(270);
  });

  it('cuts all or chosen connections with an orderly end', async () => {
    const first = await callAndHear();
    const second = await callAndHear();
    expect(proxy.cut('fin', (clientPort) => clientPort === first.socket.localPort)).toBe(1);
    await until(() => first.closed);
    expect(first).toMatchObject({ ended: true, error: undefined });
    expect(second.closed).toBe(false);
    expect(proxy.cut('fin')).toBe(1);
    await until(() => second.closed && echo.sockets.size === 0);
    expect(echo.errors).toEqual([]);
  });

  it('cuts connections with a reset on both sides', async () => {
    const caller = await callAndHear();
    proxy.cut('rst');
    await until(() => caller.closed && echo.sockets.size === 0);
    expect(caller.error).toBe('ECONNRESET');
    expect(echo.errors).toEqual(['ECONNRESET']);
  });

  it('cuts with a reset also a connection whose end it is just passing on', async () => {
    const caller = await callAndHear();
    proxy.delay(60_000, 'toServer');
    caller.socket.end();
    await delay(20);
    proxy.delay(0);
    expect(proxy.cut('rst')).toBe(1);
    await until(() => caller.closed && echo.sockets.size === 0);
    await proxy.close();
    expect(proxy.connections).toBe(0);
  });

  it('swallows one direction only', async () => {
    const caller = await callAndHear('a');
    proxy.blackhole('toClient');
    caller.socket.write('b');
    await until(() => echo.text === 'ab');
    await delay(30);
    expect(caller.text).toBe('a');
  });

  it('leaves swallowed connections dead for ever, ends included, and serves new ones', async () => {
    const dead = await callAndHear('a');
    proxy.blackhole();
    await proxy.forward();
    await callAndHear('c');
    dead.socket.end('b');
    for (const socket of echo.sockets) socket.write('!');
    await delay(50);
    expect(dead.text).toBe('a');
    expect(dead.ended).toBe(false);
    expect(echo.text).toBe('ac');
    expect(echo.sockets.size).toBe(2);
  });

  it('cuts when certain bytes pass, before they arrive, though they come in pieces', async () => {
    const caller = await callAndHear('begin;');
    const bystander = await callAndHear('begin;');
    const cut = proxy.cutWhen({ bytes: 'commit' });
    caller.socket.write('com');
    await until(() => echo.text.endsWith('com'));
    caller.socket.write('mit;');
    expect(await cut).toBe(caller.socket.localPort);
    await until(() => caller.closed);
    expect(caller.error).toBe('ECONNRESET');
    expect(echo.text).toBe('begin;begin;com');
    bystander.socket.write('commit;');
    await until(() => bystander.text === 'begin;commit;');
  });

  it('cuts when certain bytes pass, after they have arrived and before the answer does', async () => {
    const caller = await callAndHear('begin;');
    const cut = proxy.cutWhen({ bytes: 'commit;', deliver: true });
    caller.socket.write('commit;more');
    await cut;
    await until(() => caller.closed && echo.sockets.size === 0);
    expect(echo.text).toBe('begin;commit;');
    expect(caller.text).toBe('begin;');
    expect(echo.errors).toEqual([]);
  });

  it('cuts on the way to the client', async () => {
    const caller = call();
    const cut = proxy.cutWhen({ bytes: 'll', direction: 'toClient' });
    caller.socket.write('hello');
    await cut;
    await until(() => caller.closed);
    expect(caller.text).toBe('');
    expect(echo.text).toBe('hello');
  });

  it('counts connections, the peak, and dials in any window', async () => {
    await Promise.all([callAndHear(), callAndHear(), callAndHear()]);
    for (const { socket } of callers) socket.destroy();
    await until(() => proxy.connections === 0);
    await callAndHear();
    expect(proxy).toMatchObject({ accepted: 4, connections: 1, peakConnections: 3 });
    expect(proxy.dials).toHaveLength(4);
    expect(proxy.peakDials(60_000)).toBe(4);
    expect(proxy.peakDials(0.000_001)).toBe(1);
    proxy.resetCounters();
    expect(proxy).toMatchObject({ accepted: 0, connections: 1, peakConnections: 1 });
  });

  it('resets the client when nobody listens behind', async () => {
    await echo.close();
    const caller = call();
    await until(() => caller.closed);
    expect(caller.error).toBe('ECONNRESET');
    echo = new Echo();
    await echo.listen();
  });

  it('leaves no socket and no listener when closed, whatever state its connections are in', async () => {
    await callAndHear();
    await proxy.stall();
    call();
    await until(() => proxy.accepted === 2);
    proxy.blackhole();
    await proxy.close();
    expect(proxy.connections).toBe(0);
    await until(() => echo.sockets.size === 0 && callers.every((caller) => caller.closed));
    await proxy.close();
    const late = call();
    await until(() => late.closed);
    expect(late.error).toBe('ECONNREFUSED');
  });
});
