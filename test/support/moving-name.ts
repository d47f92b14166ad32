import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** A name that may point to another server, and whose connections stay as they are then. */
export class MovingName {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(public target: number) {
    this.#server = createServer((socket) => {
      const onward = connect(this.target, '127.0.0.1');
      for (const each of [socket, onward]) {
        this.#sockets.add(each.on('error', () => socket.destroy()).on('close', () => this.#sockets.delete(each)));
      }
      socket.pipe(onward).pipe(socket);
    });
  }

  async listen(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    return this;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}
