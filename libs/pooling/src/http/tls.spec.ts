import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createSecureServer, type ServerHttp2Session } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answerJson } from '#test/support/http-server.js';
import { HttpClient } from './http-client.js';

describe('TLS', () => {
  let directory: string;
  let key: Buffer;
  let cert: Buffer;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'pooling-tls-'));
    const file = (name: string): string => join(directory, name);
    execFileSync(
      'openssl',
      // prettier-ignore
      ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=localhost',
       '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-keyout', file('key.pem'), '-out', file('cert.pem')],
      { stdio: 'ignore' },
    );
    key = readFileSync(file('key.pem'));
    cert = readFileSync(file('cert.pem'));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it('verifies the certificate unless told otherwise, and takes a certificate authority', async () => {
    const server = createTlsServer({ key, cert }, (_request, response) => answerJson(response, 'secure'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    await using strict = new HttpClient('strict', { retry: false });
    await expect(strict.get(url)).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' });
    await using trusting = new HttpClient('trusting', { tls: { ca: cert } });
    expect(await trusting.get(url).json()).toBe('secure');
    expect(await trusting.get(url, { headers: { host: 'localhost' } }).json()).toBe('secure');
    expect(await trusting.get(url).json()).toBe('secure');
    await using careless = new HttpClient('careless', { tls: { rejectUnauthorized: false } });
    expect(await careless.get(url).json()).toBe('secure');
    await strict.close();
    await trusting.close();
    await careless.close();
    server.close();
  });

  it('carries many exchanges over one HTTP/2 connection when asked', async () => {
    let sessions = 0;
    const server = createSecureServer({ key, cert }, (request, response) => {
      setTimeout(() => {
        response.writeHead(200, { 'content-type': 'application/json' });
        response.end(JSON.stringify({ version: request.httpVersion, path: request.url }));
      }, 5);
    });
    server.on('session', () => sessions++);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await using client = new HttpClient('h2', { http2: true, tls: { ca: cert } });
    const answers = await Promise.all(
      Array.from({ length: 80 }, (_, at) => client.get(`${url}/${at}`).json<{ version: string; path: string }>()),
    );
    expect(answers.map(({ path }) => path)).toEqual(Array.from({ length: 80 }, (_, at) => `/${at}`));
    expect(new Set(answers.map(({ version }) => version))).toEqual(new Set(['2.0']));
    expect(sessions).toBe(1);
    expect(client.statistics()).toMatchObject({ opened: 1, inUse: 0, idle: 1, waiting: 0 });
    const controller = new AbortController();
    const aborted = client.get(`${url}/aborted`, { signal: controller.signal });
    const unharmed = client.get(`${url}/unharmed`).json();
    controller.abort('enough');
    await expect(aborted).rejects.toBe('enough');
    expect(await unharmed).toMatchObject({ path: '/unharmed' });
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ opened: 1, inUse: 0, idle: 1 }));
    await client.close();
    server.close();
  });

  it('opens a second HTTP/2 connection past a hundred exchanges, and new ones when the server ends them', async () => {
    const sessions = new Set<ServerHttp2Session>();
    const server = createSecureServer({ key, cert }, (request, response) => {
      setTimeout(() => response.end(request.url), 20);
    });
    server.on('session', (session) => sessions.add(session));
    server.on('sessionError', () => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const client = new HttpClient('h2', { http2: true, tls: { ca: cert } }, { random: () => 0 });
    const burst = async (length: number): Promise<void> => {
      const answers = await Promise.all(Array.from({ length }, (_, at) => client.get(`${url}/${at}`).text()));
      expect(answers).toEqual(Array.from({ length }, (_, at) => `/${at}`));
    };
    await burst(150);
    await vi.waitFor(() => expect(client.statistics()).toMatchObject({ opened: 2, inUse: 0, waiting: 0 }));
    for (const session of sessions) session.close();
    await vi.waitFor(() => expect(client.statistics().sockets).toBe(0));
    await burst(50);
    expect(client.statistics()).toMatchObject({ opened: 3, inUse: 0 });
    const cut = burst(5);
    setTimeout(() => {
      for (const session of sessions) session.destroy();
    }, 5);
    await cut;
    expect(client.statistics()).toMatchObject({ opened: 4, inUse: 0, waiting: 0 });
    await client.close();
    server.close();
  });
});
