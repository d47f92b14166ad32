import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { interceptors } from 'undici';
import { answerJson } from '#test/support/http-server.js';
import { selfSignedCertificate } from '#test/support/self-signed-certificate.js';
import { HttpClient } from '../http-client.js';

describe('names that an interceptor resolves, over TLS', () => {
  /** Answers with the name that the client has asked for and the one in its certificate, if it has one. */
  async function listen() {
    const { key, certificate } = selfSignedCertificate('named.example');
    const server = createServer(
      { key, cert: certificate, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const socket = request.socket as TLSSocket & { servername?: string };
        answerJson(response, {
          asked: socket.servername,
          client: socket.getPeerCertificate().subject?.CN,
          host: request.headers.host,
        });
      },
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    return { certificate, port, close: () => server.close() };
  }

  const toLoopback = (): ReturnType<typeof interceptors.dns> => {
    const lookup = (_origin: unknown, _options: unknown, callback: (error: null, found: object[]) => void): void =>
      callback(null, [{ address: '127.0.0.1', family: 4, ttl: 1_000 }]);
    return interceptors.dns({ lookup: lookup as never });
  };

  it('are asked for and verified, and are what the statistics show', async () => {
    const server = await listen();
    const own = selfSignedCertificate('this-client');
    const tls = { ca: server.certificate, key: own.key, cert: own.certificate };
    const base = `https://named.example:${server.port}`;
    for (const baseUrl of [base, undefined]) {
      await using client = new HttpClient('named', { baseUrl, tls, retry: false, interceptors: [toLoopback()] });
      const answer = { asked: 'named.example', client: 'this-client', host: `named.example:${server.port}` };
      for (const path of ['/a', '/b']) {
        expect(await client.get(`${base}${path}`).json()).toEqual(answer);
        expect(await (await client.fetch(`${base}${path}`)).json()).toEqual(answer);
      }
      const { origins, opened, idle } = client.statistics();
      expect({ origins: origins.map(({ origin, requests }) => ({ origin, requests })), opened, idle }).toEqual({
        origins: [{ origin: base, requests: 4 }],
        opened: 1,
        idle: 1,
      });
    }
    server.close();
  });

  it('don’t share a connection to one address, nor trust a certificate for it', async () => {
    const server = await listen();
    const tls = { ca: server.certificate };
    await using client = new HttpClient('apart', { tls, retry: false, interceptors: [toLoopback()] });
    await client.get(`https://named.example:${server.port}/`);
    for (const url of [`https://other.example:${server.port}/`, `https://127.0.0.1:${server.port}/`]) {
      await expect(client.get(url)).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    }
    await client.get(`https://named.example:${server.port}/`);
    expect(client.statistics()).toMatchObject({ opened: 1, inUse: 0 });
    server.close();
  });
});
