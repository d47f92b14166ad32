import { Agent as NodeAgent, request as nodeRequest } from 'node:http';
import { HttpService } from '@nestjs/axios';
import axios from 'axios';
import { firstValueFrom } from 'rxjs';
import { Agent } from 'undici';
import { HttpClient } from '../../../../libs/pooling/src/http/http-client.js';
import { answerParent } from '../race/child.js';
import type { Slice } from '../race/slice.js';

/** Gets the JSON of one URL, once. */
type Get = () => Promise<unknown>;

const CONNECTIONS = 50;

const clients: Readonly<Record<string, (origin: string) => Get>> = {
  // Its defaults: total, connect and read deadlines, retries, statistics, decompression.
  'nestjs-pooling': (origin) => {
    const client = new HttpClient('bench', { limitPerHost: CONNECTIONS });
    const url = `${origin}/item`;
    return () => client.get(url).json();
  },
  undici: (origin) => {
    const agent = new Agent({ connections: CONNECTIONS });
    return async () => (await agent.request({ origin, path: '/item', method: 'GET' })).body.json();
  },
  '@nestjs/axios': (origin) => {
    const httpAgent = new NodeAgent({ keepAlive: true, maxSockets: CONNECTIONS });
    const service = new HttpService(axios.create({ httpAgent }));
    const url = `${origin}/item`;
    return async () => (await firstValueFrom(service.get<unknown>(url))).data;
  },
  'global fetch': (origin) => {
    const url = `${origin}/item`;
    return async () => (await fetch(url)).json();
  },
  'node:http': (origin) => {
    const agent = new NodeAgent({ keepAlive: true, maxSockets: CONNECTIONS });
    const url = new URL(`${origin}/item`);
    return () =>
      new Promise((resolve, reject) => {
        nodeRequest(url, { agent }, (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('end', () => resolve(JSON.parse(Buffer.concat(chunks).toString())));
          response.on('error', reject);
        })
          .on('error', reject)
          .end();
      });
  },
};

let get: Get;

answerParent({
  open: (name: string, origin: string) => {
    get = (clients[name] as (origin: string) => Get)(origin);
  },
  /** Works for so long with so many callers, each with one request under way. */
  slice: async (durationMs: number, callers: number): Promise<Slice> => {
    const cpu = process.cpuUsage();
    const startedAt = performance.now();
    const endsAt = startedAt + durationMs;
    let operations = 0;
    const call = async (): Promise<void> => {
      while (performance.now() < endsAt) {
        await get();
        operations++;
      }
    };
    await Promise.all(Array.from({ length: callers }, call));
    const { user, system } = process.cpuUsage(cpu);
    return {
      operations,
      elapsedMs: performance.now() - startedAt,
      clientCpuMs: (user + system) / 1_000,
      serverCpuMs: undefined,
      foreignShare: 0,
      p50Ms: undefined,
      p99Ms: undefined,
    };
  },
});
