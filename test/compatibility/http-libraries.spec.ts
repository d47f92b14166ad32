import Anthropic, { toFile as anthropicFile } from '@anthropic-ai/sdk';
import { createClient as createHeyClient } from '@hey-api/client-fetch';
import { Octokit } from '@octokit/core';
import { createTRPCClient, httpBatchLink } from '@trpc/client';
import { initTRPC } from '@trpc/server';
import { createHTTPHandler } from '@trpc/server/adapters/standalone';
import { GraphQLClient } from 'graphql-request';
import ky from 'ky';
import { createFetch } from 'ofetch';
import createOpenApiClient from 'openapi-fetch';
import OpenAI, { toFile } from 'openai';
import Stripe from 'stripe';
import { HttpClient } from '#pooling/http/http-client.js';
import { answerJson, bodyOf, CountingServer } from '#test/support/http-server.js';

/** A request as the server saw it. */
interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: string;
}

/** A local server in the place of a service: it remembers what came, and answers what it is told to. */
class Service implements AsyncDisposable {
  readonly seen: Seen[] = [];

  private constructor(private readonly server: CountingServer) {}

  static async answering(answer: (seen: Seen) => unknown): Promise<Service> {
    const service: Service = new Service(
      await CountingServer.listen((request, response) => {
        void bodyOf(request).then((body) => {
          const seen = {
            method: request.method as string,
            url: request.url as string,
            headers: request.headers as Record<string, string>,
            body: body.toString('latin1'),
          };
          service.seen.push(seen);
          const given = answer(seen);
          if (typeof given === 'string') response.writeHead(200, { 'content-type': 'text/event-stream' }).end(given);
          else answerJson(response, given);
        });
      }),
    );
    return service;
  }

  get url(): string {
    return this.server.url;
  }

  get last(): Seen {
    return this.seen.at(-1) as Seen;
  }

  /** The form that came last, as the standard's own parser reads it. */
  async form(): Promise<Record<string, string>> {
    const { headers, body } = this.last;
    const bytes = Buffer.from(body, 'latin1');
    const form = await new Response(bytes, { headers: { 'content-type': headers['content-type']! } }).formData();
    const parts: Record<string, string> = {};
    for (const [name, value] of form)
      parts[name] = typeof value === 'string' ? value : `${value.name}:${await value.text()}`;
    return parts;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.server.close();
  }
}

let client: HttpClient;

beforeEach(() => {
  client = new HttpClient('libraries', { retry: false, limitPerHost: 4 });
});
afterEach(async () => {
  // Whatever a library does, it leaves nothing behind.
  await vi.waitFor(() => expect(client.statistics()).toMatchObject({ inUse: 0, waiting: 0, leaks: 0 }));
  expect(client.statistics().requests).toBeGreaterThan(0);
  await client.close();
});

describe('libraries that take a fetch', () => {
  it('OpenAI: answers, streams and uploads', async () => {
    await using service = await Service.answering(({ url, body }) => {
      if (url === '/files') return { id: 'file-1', object: 'file' };
      if (!body.includes('"stream":true')) return { choices: [{ message: { content: 'hello' } }] };
      const chunks = ['he', 'llo'].map(
        (content) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`,
      );
      return `${chunks.join('')}data: [DONE]\n\n`;
    });
    const openai = new OpenAI({ apiKey: 'k', baseURL: service.url, fetch: client.fetch, maxRetries: 0 });
    const asked = { model: 'm', messages: [{ role: 'user' as const, content: 'hi' }] };
    expect((await openai.chat.completions.create(asked)).choices[0]?.message.content).toBe('hello');
    expect(service.last.headers).toMatchObject({ authorization: 'Bearer k' });
    let streamed = '';
    for await (const chunk of await openai.chat.completions.create({ ...asked, stream: true })) {
      streamed += chunk.choices[0]?.delta.content ?? '';
    }
    expect(streamed).toBe('hello');
    await openai.files.create({ file: await toFile(Buffer.from('content'), 'a.txt'), purpose: 'assistants' });
    expect(await service.form()).toEqual({ file: 'a.txt:content', purpose: 'assistants' });
  });

  it('Anthropic: answers and uploads', async () => {
    await using service = await Service.answering(({ url }) =>
      url.startsWith('/v1/files') ? { id: 'file_1', type: 'file' } : { content: [{ type: 'text', text: 'hello' }] },
    );
    const anthropic = new Anthropic({ apiKey: 'k', baseURL: service.url, fetch: client.fetch, maxRetries: 0 });
    const message = await anthropic.messages.create({
      model: 'm',
      max_tokens: 5,
      messages: [{ role: 'user', content: 'hi' }],
    });
    expect(message.content[0]).toMatchObject({ text: 'hello' });
    await anthropic.beta.files.upload({ file: await anthropicFile(Buffer.from('content'), 'a.txt') });
    expect(await service.form()).toMatchObject({ file: 'a.txt:content' });
  });

  it('Stripe: answers and uploads', async () => {
    await using service = await Service.answering(({ url }) => ({
      id: url.startsWith('/v1/files') ? 'file_1' : 'cus_1',
    }));
    const { hostname, port } = new URL(service.url);
    const stripe = new Stripe('sk_test', {
      httpClient: Stripe.createFetchHttpClient(client.fetch),
      host: hostname,
      port: Number(port),
      protocol: 'http',
      maxNetworkRetries: 0,
    });
    expect((await stripe.customers.create({ name: 'Ada' })).id).toBe('cus_1');
    expect(service.last).toMatchObject({ method: 'POST', url: '/v1/customers', body: 'name=Ada' });
    const file = { data: Buffer.from('content'), name: 'a.txt', type: 'text/plain' };
    await stripe.files.create({ purpose: 'dispute_evidence', file });
    expect(await service.form()).toMatchObject({ file: 'a.txt:content' });
  });

  it('Octokit', async () => {
    await using service = await Service.answering(() => ({ login: 'octocat' }));
    const octokit = new Octokit({ auth: 'token', baseUrl: service.url, request: { fetch: client.fetch } });
    expect((await octokit.request('GET /user')).data).toEqual({ login: 'octocat' });
    expect(service.last.headers).toMatchObject({ authorization: 'token token' });
    const headers = { 'content-type': 'text/plain', 'content-length': '7' };
    await octokit.request('POST /upload', { data: Buffer.from('content'), headers });
    expect(service.last).toMatchObject({ method: 'POST', body: 'content', headers });
  });

  it('ky: JSON, forms and retries of its own', async () => {
    await using service = await Service.answering(({ url }) => ({ url }));
    const api = ky.create({ prefixUrl: service.url, fetch: client.fetch, retry: 0 });
    expect(await api.post('x', { json: { a: 1 }, searchParams: { q: '1' } }).json()).toEqual({ url: '/x?q=1' });
    expect(service.last.body).toBe('{"a":1}');
    const body = new FormData();
    body.append('file', new Blob(['content']), 'a.txt');
    await api.post('upload', { body });
    expect(await service.form()).toEqual({ file: 'a.txt:content' });
  });

  it('ofetch', async () => {
    await using service = await Service.answering(({ url }) => ({ url }));
    const ofetch = createFetch({ fetch: client.fetch, defaults: { baseURL: service.url, retry: 0 } });
    expect(await ofetch('/x', { method: 'POST', body: { a: 1 }, query: { q: 1 } })).toEqual({ url: '/x?q=1' });
    const body = new FormData();
    body.append('name', 'value');
    await ofetch('/upload', { method: 'POST', body });
    expect(await service.form()).toEqual({ name: 'value' });
  });

  it('openapi-fetch', async () => {
    interface Paths {
      '/things/{id}': {
        parameters: object;
        post: {
          parameters: { path: { id: number } };
          requestBody: { content: { 'application/json': { a: number } } };
          responses: { 200: { content: { 'application/json': { url: string } } } };
        };
      };
    }
    await using service = await Service.answering(({ url }) => ({ url }));
    const api = createOpenApiClient<Paths>({ baseUrl: service.url, fetch: client.fetch });
    const { data } = await api.POST('/things/{id}', { params: { path: { id: 7 } }, body: { a: 1 } });
    expect(data).toEqual({ url: '/things/7' });
    expect(service.last).toMatchObject({ method: 'POST', body: '{"a":1}' });
  });

  it('@hey-api/client-fetch', async () => {
    await using service = await Service.answering(({ url }) => ({ url }));
    const api = createHeyClient({ baseUrl: service.url, fetch: client.fetch });
    const { data } = await api.post({
      url: '/things',
      body: { a: 1 },
      headers: { 'content-type': 'application/json' },
    });
    expect(data).toEqual({ url: '/things' });
    expect(service.last.body).toBe('{"a":1}');
  });

  it('graphql-request', async () => {
    await using service = await Service.answering(() => ({ data: { hello: 'world' } }));
    const graphql = new GraphQLClient(`${service.url}/graphql`, { fetch: client.fetch });
    expect(await graphql.request('query { hello }')).toEqual({ hello: 'world' });
    expect(JSON.parse(service.last.body)).toMatchObject({ query: 'query { hello }' });
  });

  it('tRPC', async () => {
    const trpc = initTRPC.create();
    const router = trpc.router({
      hello: trpc.procedure.query(() => 'world'),
      add: trpc.procedure.input((value) => value as { a: number }).mutation(({ input }) => input.a + 1),
    });
    await using server = await CountingServer.listen(createHTTPHandler({ router }));
    const links = [httpBatchLink({ url: server.url, fetch: client.fetch })];
    const api = createTRPCClient<typeof router>({ links });
    expect(await Promise.all([api.hello.query(), api.hello.query()])).toEqual(['world', 'world']);
    expect(await api.add.mutate({ a: 1 })).toBe(2);
  });
});
