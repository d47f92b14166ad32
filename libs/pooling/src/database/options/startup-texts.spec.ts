import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { systemClock } from '../../core/clock.js';
import { resolveDatabaseOptions, type DatabaseOptions } from './options.js';
import { cancelBackend, probeServer } from '../connection/server-request.js';

const URL = 'postgres://user@localhost/shop';

describe('what a connection begins with', () => {
  it.each<[path: string, options: DatabaseOptions]>([
    ['applicationName', { url: URL, applicationName: 'shop\0options\0-c role=admin' }],
    ['applicationName', { connection: { application_name: 'shop\0x' } }],
    ['applicationName', { url: `${URL}?application_name=shop%00x` }],
    ['connection.user', { url: 'postgres://us%00er@localhost/shop' }],
    ['connection.user', { connection: { user: 'us\0er' } }],
    ['connection.database', { connection: { database: 'shop\0user\0admin' } }],
    ['connection.options', { connection: { options: '-c search_path=a\0b' } }],
    ['session.search_path', { url: URL, session: { search_path: 'a\0b' } }],
    ['session', { url: URL, session: { 'a\0b': 'secret' } }],
  ])('refuses a zero byte in %s, without showing the text', (path, options) => {
    expect(() => resolveDatabaseOptions('shop', options)).toThrow(
      expect.objectContaining({
        code: 'ERR_POOL_OPTIONS_INVALID',
        message: expect.stringContaining(`${path}: a text with a zero byte is not allowed`) as string,
      }),
    );
  });
});

describe('a request on a connection of its own', () => {
  it('throws nothing into the process, whatever answers', async () => {
    const crashes: unknown[] = [];
    const crash = (error: unknown): void => void crashes.push(error);
    process.on('uncaughtException', crash);
    const answers = [
      Buffer.from([0x52, 0, 0, 0, 8, 0, 0, 0, 7]),
      Buffer.from([0x44, 0, 0, 0, 6, 0xff, 0xff]),
      Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'),
    ];
    try {
      for (const answer of answers) {
        const server = createServer((socket) => {
          socket.on('error', () => socket.destroy());
          socket.once('data', () => socket.end(answer));
        });
        server.listen(0, '127.0.0.1');
        await once(server, 'listening');
        const config = { host: '127.0.0.1', port: (server.address() as AddressInfo).port, ssl: false };
        await probeServer(config, 5_000, systemClock);
        await cancelBackend(config, undefined, { processId: 1, secretKey: 2 }, 5_000, systemClock);
        server.close();
      }
    } finally {
      process.off('uncaughtException', crash);
    }
    expect(crashes).toEqual([]);
  });
});
