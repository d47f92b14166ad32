import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { message, MessageCutter, type ServerMessage } from '#test/support/server-messages.js';

const SSL_REQUEST = 80_877_103;
const GSS_REQUEST = 80_877_104;
const CANCEL_REQUEST = 80_877_102;

const EMPTY = Buffer.alloc(0);

function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

/** A statement as its client has prepared it. */
interface Statement {
  readonly query: string;
  /** The types of its parameters, as they were sent. */
  readonly types: Buffer;
}

/** What a server answers next: to a message of a client's, to one of the pooler's own, or the pooler's own answer. */
interface Expected {
  readonly kind: 'parse' | 'bind' | 'describe' | 'execute' | 'close' | 'sync' | 'own answer';
  readonly hidden?: boolean;
  readonly answer?: Buffer;
}

/**
 * A pooler like PgBouncer from 1.21 on in transaction mode, as small as its tests need it. Clients share few connections
 * to the server, each for a transaction. It prepares by itself: a client's statement is prepared again, without a word, on
 * whichever connection it is used next. Logging in is its own, keys included: whoever logs in hears what the server was when
 * it was connected to first, and hears with a first statement that it is dead.
 */
export class PreparingPooler implements AsyncDisposable {
  /** How often a statement was prepared on a connection that didn't have it. */
  prepared = 0;
  readonly #target: { readonly host: string; readonly port: number; readonly user: string; readonly database: string };
  readonly #listener: Server;
  readonly #sockets = new Set<Socket>();
  readonly #idle: ServerSide[] = [];
  readonly #waiting: ((server: ServerSide) => void)[] = [];
  readonly #poolSize: number;
  #welcome: readonly Buffer[] | undefined;
  #generation = 0;
  #open = 0;

  private constructor(databaseUrl: string, poolSize: number) {
    const { hostname, port, username, pathname } = new URL(databaseUrl);
    this.#target = { host: hostname, port: Number(port), user: username, database: pathname.slice(1) };
    this.#poolSize = poolSize;
    this.#listener = createServer((socket) => {
      this.track(socket);
      new ClientSide(this, socket).listen();
    });
  }

  /** @param poolSize how many connections to the server it shares out */
  static async start(databaseUrl: string, poolSize: number): Promise<PreparingPooler> {
    const pooler = new PreparingPooler(databaseUrl, poolSize);
    pooler.#listener.listen(0, '127.0.0.1');
    await once(pooler.#listener, 'listening');
    return pooler;
  }

  /** The database's address through it. */
  get url(): string {
    const { port } = this.#listener.address() as AddressInfo;
    return `postgres://${this.#target.user}@127.0.0.1:${port}/${this.#target.database}`;
  }

  /** Replaces every connection to the server when it is next free: `RECONNECT`, or the end of `server_lifetime`. */
  reconnect(): void {
    this.#generation++;
    for (const server of this.#idle.splice(0)) this.#close(server);
  }

  track(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#sockets.delete(socket));
  }

  /** A connection to the server, for one transaction. */
  async take(): Promise<ServerSide> {
    for (let idle = this.#idle.shift(); idle !== undefined; idle = this.#idle.shift()) {
      if (!idle.lost) return idle;
      this.#close(idle);
    }
    if (this.#open >= this.#poolSize) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#open++;
    const socket = connect(this.#target.port, this.#target.host);
    this.track(socket);
    try {
      return await ServerSide.logIn(socket, this.#target, this.#generation);
    } catch (error) {
      this.#open--;
      throw error;
    }
  }

  /** The settings that its server told first. */
  async welcome(): Promise<readonly Buffer[]> {
    if (this.#welcome === undefined) {
      const server = await this.take();
      this.giveBack(server);
      this.#welcome = server.settings;
    }
    return this.#welcome;
  }

  giveBack(server: ServerSide): void {
    if (server.generation !== this.#generation || server.lost) {
      this.#close(server);
      const next = this.#waiting.shift();
      if (next !== undefined) void this.take().then(next, () => undefined);
      return;
    }
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(server);
    else next(server);
  }

  #close(server: ServerSide): void {
    this.#open--;
    server.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#listener.close();
    await once(this.#listener, 'close');
  }
}

/** A connection to the server. */
class ServerSide {
  readonly generation: number;
  /** The settings that the server has told. */
  readonly settings: Buffer[] = [];
  /** By their texts and types: the names they have here. */
  readonly #statements = new Map<string, string>();
  readonly #socket: Socket;
  readonly #cutter = new MessageCutter();
  #nextName = 0;
  /** Hears what the server says while a client uses it. */
  heard: (answer: ServerMessage) => void = () => undefined;
  ended: () => void = () => undefined;

  private constructor(socket: Socket, generation: number) {
    this.#socket = socket;
    this.generation = generation;
    socket.on('data', (bytes) => {
      for (const answer of this.#cutter.cut(bytes)) this.heard(answer);
    });
    socket.once('close', () => this.ended());
  }

  static async logIn(
    socket: Socket,
    { user, database }: { readonly user: string; readonly database: string },
    generation: number,
  ): Promise<ServerSide> {
    const server = new ServerSide(socket, generation);
    await once(socket, 'connect');
    const body = Buffer.concat([
      Buffer.from([0, 3, 0, 0]),
      ...['user', user, 'database', database, 'application_name', 'pooler', 'client_encoding', 'UTF8'].map(text),
      Buffer.from([0]),
    ]);
    const length = Buffer.alloc(4);
    length.writeInt32BE(body.length + 4);
    socket.write(Buffer.concat([length, body]));
    await new Promise<void>((resolve, reject) => {
      server.ended = () => reject(new Error('the server hung up'));
      server.heard = ({ type, bytes }) => {
        if (type === 'S') server.settings.push(bytes);
        if (type === 'Z') resolve();
      };
    });
    return server;
  }

  get lost(): boolean {
    return this.#socket.destroyed;
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes);
  }

  /** The name of a statement here, and whether it is there already. */
  nameOf({ query, types }: Statement): { readonly name: string; readonly known: boolean } {
    const key = `${types.toString('hex')} ${query}`;
    const known = this.#statements.get(key);
    if (known !== undefined) return { name: known, known: true };
    const name = `POOLER_${++this.#nextName}`;
    this.#statements.set(key, name);
    return { name, known: false };
  }

  /** What it was to prepare last has failed, perhaps. */
  forget(statement: Statement): void {
    this.#statements.delete(`${statement.types.toString('hex')} ${statement.query}`);
  }

  close(): void {
    this.#socket.end(message('X', EMPTY));
  }
}

/** A client. */
class ClientSide {
  readonly #pooler: PreparingPooler;
  readonly #socket: Socket;
  readonly #statements = new Map<string, Statement>();
  readonly #cutter = new MessageCutter();
  #loggedIn = false;
  #server: ServerSide | undefined;
  #expected: Expected[] = [];
  /** What it is preparing, until that is known to have worked. */
  #preparing: Statement[] = [];
  #turn: Promise<void> = Promise.resolve();

  constructor(pooler: PreparingPooler, socket: Socket) {
    this.#pooler = pooler;
    this.#socket = socket;
  }

  listen(): void {
    let start = EMPTY;
    this.#socket.on('data', (bytes) => {
      if (this.#loggedIn) return this.#received(bytes);
      start = Buffer.concat([start, bytes]);
      while (start.length >= 8 && start.length >= start.readInt32BE(0) && !this.#loggedIn) {
        const request = start.readInt32BE(4);
        start = start.subarray(start.readInt32BE(0));
        if (request === SSL_REQUEST || request === GSS_REQUEST) this.#socket.write('N');
        else if (request === CANCEL_REQUEST) this.#socket.destroy();
        else this.#logIn();
      }
      if (this.#loggedIn && start.length > 0) this.#received(start);
    });
    this.#socket.once('close', () => this.#gone());
  }

  /** Lets it in with a key of its own. */
  #logIn(): void {
    this.#loggedIn = true;
    this.#inTurn(async () => {
      const settings = await this.#pooler.welcome();
      const key = message('K', randomBytes(8));
      const ready = message('Z', Buffer.from('I'));
      this.#socket.write(Buffer.concat([message('R', Buffer.alloc(4)), ...settings, key, ready]));
    });
  }

  /** Does something when all before it is done; without a server, its client is told so and sent away. */
  #inTurn(pass: () => Promise<void>): void {
    this.#turn = this.#turn.then(pass).catch(() => {
      const fields = ['SFATAL', 'VFATAL', 'C08P01', 'Mserver login has been failing', '', ''];
      this.#socket.end(message('E', Buffer.from(fields.join('\0'))));
    });
  }

  #received(bytes: Buffer): void {
    const sent = this.#cutter.cut(bytes);
    this.#inTurn(async () => {
      for (const each of sent) await this.#pass(each);
    });
  }

  async #pass({ type, bytes }: ServerMessage): Promise<void> {
    if (type === 'X') return void this.#socket.end();
    const server = (this.#server ??= await this.#assign());
    const body = bytes.subarray(5);
    switch (type) {
      case 'P':
        return this.#parse(server, body);
      case 'B':
        return this.#bind(server, body);
      case 'D':
        this.#expected.push({ kind: 'describe' });
        return server.write(bytes);
      case 'E':
        this.#expected.push({ kind: 'execute' });
        return server.write(bytes);
      case 'C':
        return this.#close(server, bytes);
      case 'S':
      case 'Q':
        this.#expected.push({ kind: 'sync' });
        return server.write(bytes);
      default:
        server.write(bytes);
    }
  }

  async #assign(): Promise<ServerSide> {
    const server = await this.#pooler.take();
    server.heard = (answer) => this.#answered(server, answer);
    server.ended = () => this.#socket.destroy();
    return server;
  }

  #parse(server: ServerSide, body: Buffer): void {
    const nameEnd = body.indexOf(0);
    const queryEnd = body.indexOf(0, nameEnd + 1);
    const name = body.toString('utf8', 0, nameEnd);
    const statement = { query: body.toString('utf8', nameEnd + 1, queryEnd), types: body.subarray(queryEnd + 1) };
    if (name === '') {
      this.#expected.push({ kind: 'parse' });
      return server.write(message('P', body));
    }
    this.#statements.set(name, { query: statement.query, types: Buffer.from(statement.types) });
    if (this.#prepare(server, statement, false) === undefined) this.#answer(message('1', EMPTY));
  }

  /** Has the server prepare a statement that it doesn't have. */
  #prepare(server: ServerSide, statement: Statement, hidden: boolean): true | undefined {
    const { name, known } = server.nameOf(statement);
    if (known) return undefined;
    this.#pooler.prepared++;
    this.#preparing.push(statement);
    this.#expected.push({ kind: 'parse', hidden });
    server.write(message('P', Buffer.concat([text(name), text(statement.query), statement.types])));
    return true;
  }

  #bind(server: ServerSide, body: Buffer): void {
    const portalEnd = body.indexOf(0) + 1;
    const nameEnd = body.indexOf(0, portalEnd);
    const statement = this.#statements.get(body.toString('utf8', portalEnd, nameEnd));
    this.#expected.push({ kind: 'bind' });
    if (statement === undefined) return server.write(message('B', body));
    this.#expected.pop();
    this.#prepare(server, statement, true);
    this.#expected.push({ kind: 'bind' });
    const name = text(server.nameOf(statement).name);
    server.write(message('B', Buffer.concat([body.subarray(0, portalEnd), name, body.subarray(nameEnd + 1)])));
  }

  #close(server: ServerSide, bytes: Buffer): void {
    if (bytes[5] === 0x53) {
      this.#statements.delete(bytes.toString('utf8', 6, bytes.length - 1));
      return this.#answer(message('3', EMPTY));
    }
    this.#expected.push({ kind: 'close' });
    server.write(bytes);
  }

  /** Answers in the server's stead, when it is time for it. */
  #answer(answer: Buffer): void {
    this.#expected.push({ kind: 'own answer', answer });
    this.#flush();
  }

  #flush(): void {
    while (this.#expected[0]?.kind === 'own answer') this.#socket.write(this.#expected.shift()?.answer ?? EMPTY);
  }

  #answered(server: ServerSide, { type, bytes }: ServerMessage): void {
    const next = this.#expected[0];
    let hidden = false;
    if (type === 'E') {
      for (const statement of this.#preparing.splice(0)) server.forget(statement);
      while (this.#expected.length > 0 && this.#expected[0]?.kind !== 'sync') this.#expected.shift();
    } else if ('123nTCIs'.includes(type) && next?.kind !== 'sync') {
      if (type === '1') this.#preparing.shift();
      hidden = next?.hidden === true;
      this.#expected.shift();
    } else if (type === 'Z') {
      this.#expected.shift();
    }
    if (!hidden) this.#socket.write(bytes);
    this.#flush();
    if (type === 'Z' && bytes[5] === 0x49 && this.#expected.length === 0) this.#release(server);
  }

  #release(server: ServerSide): void {
    this.#server = undefined;
    server.heard = () => undefined;
    server.ended = () => undefined;
    this.#pooler.giveBack(server);
  }

  #gone(): void {
    const server = this.#server;
    if (server === undefined) return;
    server.close();
    this.#release(server);
  }
}
