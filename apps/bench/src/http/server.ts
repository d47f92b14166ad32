import { createServer, type AddressInfo } from 'node:net';
import { answerParent } from '../race/child.js';

const BODY = JSON.stringify({ id: 42, name: 'a thing to sell', price: 1_999, currency: 'EUR', stock: 7 });
const ANSWER = Buffer.from(
  `HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: keep-alive\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`,
);

/** Answers every request with the same JSON, as cheaply as can be: what is measured is the client. */
const server = createServer((socket) => {
  socket.setNoDelay(true);
  socket.on('error', () => {});
  socket.on('data', () => socket.write(ANSWER));
});

answerParent({
  listen: () =>
    new Promise<number>((resolve) => {
      server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
    }),
});
