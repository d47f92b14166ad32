import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { Client as Elasticsearch } from '@elastic/elasticsearch';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { HttpClient } from '#pooling/http/http-client.js';
import type { HttpBody } from '#pooling/http/message/request.js';
import { answerJson, bodyOf, CountingServer } from '#test/support/http-server.js';

/** What the AWS SDK hands to the handler of its requests. */
interface AwsRequest {
  readonly protocol: string;
  readonly hostname: string;
  readonly port?: number;
  readonly path: string;
  readonly query?: Record<string, string | string[] | null>;
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body?: HttpBody;
}

/** The recipe of the guide: a request handler of the AWS SDK over a client. */
function awsHandler(http: HttpClient): {
  handle(
    request: AwsRequest,
    options?: { abortSignal?: AbortSignal },
  ): Promise<{ response: { statusCode: number; headers: Record<string, string>; body: Readable } }>;
  metadata: { handlerProtocol: string };
} {
  return {
    metadata: { handlerProtocol: 'http/1.1' },
    async handle({ protocol, hostname, port, path, query = {}, method, headers, body }, { abortSignal } = {}) {
      // Encoded as it was signed: a space is %20.
      const pairs = Object.entries(query).flatMap(([name, value]) =>
        [value].flat().map((each) => `${encodeURIComponent(name)}=${encodeURIComponent(each ?? '')}`),
      );
      const url = `${protocol}//${hostname}${port === undefined ? '' : `:${port}`}${path}?${pairs.join('&')}`;
      // undici has no 100-continue.
      const { expect: _expect, ...sent } = headers;
      const answer = await http.stream(url.replace(/\?$/, ''), {
        method,
        headers: sent,
        body: body ?? null,
        signal: abortSignal ?? null,
        decompress: false,
        retry: false,
      });
      return {
        response: {
          statusCode: answer.statusCode,
          headers: answer.headers as Record<string, string>,
          body: answer.body,
        },
      };
    },
  };
}

it('the AWS SDK sends through a client with a small handler', async () => {
  const objects = new Map<string, string>();
  await using server = await CountingServer.listen((request, response) => {
    void bodyOf(request).then((body) => {
      const url = new URL(request.url as string, 'http://s3');
      if (request.method === 'PUT') {
        objects.set(url.pathname, body.toString());
        response.writeHead(200, { etag: '"1"' }).end();
      } else if (url.searchParams.has('list-type')) {
        const keys = [...objects.keys()].map(
          (key) => `<Contents><Key>${decodeURIComponent(key.slice(8))}</Key></Contents>`,
        );
        const prefix = url.searchParams.get('prefix');
        response.end(`<ListBucketResult><Prefix>${prefix}</Prefix>${keys.join('')}</ListBucketResult>`);
      } else if (objects.has(url.pathname)) {
        response.end(objects.get(url.pathname));
      } else {
        response.writeHead(404, { 'content-type': 'application/xml' });
        response.end('<Error><Code>NoSuchKey</Code><Message>none</Message></Error>');
      }
    });
  });
  await using http = new HttpClient('s3', { limitPerHost: 2 });
  const s3 = new S3Client({
    region: 'eu-west-1',
    endpoint: server.url,
    forcePathStyle: true,
    credentials: { accessKeyId: 'id', secretAccessKey: 'secret' },
    requestHandler: awsHandler(http),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    maxAttempts: 1,
  });
  const Bucket = 'bucket';
  await Promise.all(
    ['a b', 'c+d', 'ü'].map((name) => s3.send(new PutObjectCommand({ Bucket, Key: name, Body: `content of ${name}` }))),
  );
  const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: 'a b' }));
  expect(await Body?.transformToString()).toBe('content of a b');
  const listed = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'x y' }));
  expect(listed.Prefix).toBe('x y');
  expect(listed.Contents?.map(({ Key }) => Key).toSorted()).toEqual(['a b', 'c+d', 'ü']);
  await expect(s3.send(new GetObjectCommand({ Bucket, Key: 'none' }))).rejects.toMatchObject({ name: 'NoSuchKey' });
  expect(server.peakSockets).toBeLessThanOrEqual(2);
  await vi.waitFor(() => expect(http.statistics()).toMatchObject({ inUse: 0, waiting: 0 }));
  await http.close();
});

it('Elasticsearch sends through a client’s dispatcher', async () => {
  await using server = await CountingServer.listen((request, response) => {
    void bodyOf(request).then((body) => {
      response.setHeader('x-elastic-product', 'Elasticsearch');
      const found = { hits: { hits: [{ _id: '1', _source: { asked: body.toString() } }] } };
      answerJson(response, request.url?.startsWith('/orders/_search') === true ? found : {});
    });
  });
  await using http = new HttpClient('elastic', { limitPerHost: 3 });
  const agent = ({ url }: { readonly url: URL }): Dispatcher =>
    http.dispatcher.compose((dispatch) => (options, handler) => dispatch({ ...options, origin: url.origin }, handler));
  const elastic = new Elasticsearch({
    node: server.url,
    agent: agent as never,
    maxRetries: 0,
  });
  const searches = Array.from({ length: 10 }, () => elastic.search({ index: 'orders', query: { match_all: {} } }));
  const [first] = await Promise.all(searches);
  expect(first?.hits.hits[0]?._source).toEqual({ asked: '{"query":{"match_all":{}}}' });
  expect(server.peakSockets).toBeLessThanOrEqual(3);
  expect(http.statistics()).toMatchObject({ requests: 10, inUse: 0 });
  await elastic.close();
});
