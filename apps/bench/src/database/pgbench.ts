import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { cpuTimeOf, cpuTimeOfDeadChildren, KNOWS_CPU_TIME, machineBusyMs } from '../race/machine.js';
import type { Slice } from '../race/slice.js';
import { SQL } from './candidate.js';
import { ACCOUNTS, CUSTOMERS, LAST_PAGE, ORDERS } from './schema.js';
import type { BenchServer } from './server.js';
import { SLOW_EVERY, type Workload } from './workload.js';

/** Where Debian keeps the programs of each major version. */
const DEBIAN_FOLDER = '/usr/lib/postgresql';

/** Finds the C client that comes with PostgreSQL: on the PATH, or where Debian keeps it. */
export function findPgbench(): string | undefined {
  const versions = existsSync(DEBIAN_FOLDER) ? readdirSync(DEBIAN_FOLDER) : [];
  const folders = [
    ...versions
      .toSorted((one, other) => Number(other) - Number(one))
      .map((version) => join(DEBIAN_FOLDER, version, 'bin')),
    ...(process.env['PATH'] ?? '').split(delimiter),
  ];
  return folders.map((folder) => join(folder, 'pgbench')).find((program) => existsSync(program));
}

function withNames(text: string, ...names: string[]): string {
  return `${names.reduce((sql, name, index) => sql.replaceAll(`$${index + 1}`, `:${name}`), text)};`;
}

const ANY_CUSTOMER = `\\set id random(1, ${CUSTOMERS})`;
const SELECT_BY_KEY = [ANY_CUSTOMER, withNames(SQL.selectByKey, 'id')];

const TRANSFER = [
  'begin;',
  withNames(SQL.withdraw, 'sender', 'amount'),
  withNames(SQL.deposit, 'receiver', 'amount'),
  "insert into events (customer_id, kind, payload) values (1, 'transfer', 'from one to the other') returning id;",
  withNames(SQL.balance, 'receiver'),
  'commit;',
];
const ANY_ACCOUNTS = [`\\set sender random(1, ${ACCOUNTS - 1})`, `\\set receiver random(:sender + 1, ${ACCOUNTS})`];
const [BEGIN = '', ...REST] = TRANSFER;

/** The same statements in pgbench's language; more than one script: the second is the rare one. */
const SCRIPTS: Readonly<Record<Workload, readonly (readonly string[])[]>> = {
  'select-by-key': [SELECT_BY_KEY],
  'four-table-join': [[`\\set id random(1, ${ORDERS})`, withNames(SQL.orderTotal, 'id')]],
  'customer-join': [[ANY_CUSTOMER, withNames(SQL.customerTotals, 'id')]],
  'hundred-rows': [[`\\set id random(0, ${LAST_PAGE})`, withNames(SQL.hundredRows, 'id')]],
  insert: [[ANY_CUSTOMER, withNames(SQL.insert.replace('$2, $3', "'viewed', 'customer did something'"), 'id')]],
  mixed: [SELECT_BY_KEY, [`${SQL.slow};`]],
  transaction: [[...ANY_ACCOUNTS, ...TRANSFER]],
  'transaction-at-once': [
    [...ANY_ACCOUNTS, '\\startpipeline', BEGIN, ...REST.slice(0, -1), '\\endpipeline', ...REST.slice(-1)],
  ],
  batch: [[...ANY_ACCOUNTS, '\\startpipeline', ...TRANSFER, '\\endpipeline']],
};

/** `pgbench -M prepared`: what the C client gets out of the same server, the limit for the others. */
export class Pgbench implements AsyncDisposable {
  readonly #program: string;
  readonly #server: BenchServer;
  readonly #folder: string;

  private constructor(program: string, server: BenchServer, folder: string) {
    this.#program = program;
    this.#server = server;
    this.#folder = folder;
  }

  static async create(program: string, server: BenchServer): Promise<Pgbench> {
    return new Pgbench(program, server, await mkdtemp(join(tmpdir(), 'nestjs-pooling-pgbench-')));
  }

  /** One turn, in whole seconds. The connections are made outside the time that pgbench counts. */
  async slice(workload: Workload, clients: number, durationMs: number): Promise<Slice> {
    const files = await this.#scripts(workload);
    const serverBefore = this.#serverCpuMs();
    const machineBefore = machineBusyMs();
    const startedAt = performance.now();
    const seconds = Math.max(1, Math.round(durationMs / 1_000));
    const { output, clientCpuMs } = await this.#run([
      '--host=127.0.0.1',
      `--port=${this.#server.port}`,
      '--username=postgres',
      '--no-vacuum',
      '--protocol=prepared',
      '--jobs=1',
      `--client=${clients}`,
      `--time=${seconds}`,
      '--define=amount=1',
      ...files,
      'postgres',
    ]);
    const elapsedMs = performance.now() - startedAt;
    const serverCpuMs = this.#serverCpuMs() - serverBefore;
    const foreignMs = machineBusyMs() - machineBefore - clientCpuMs - serverCpuMs;
    const operations = Number(/number of transactions actually processed: (\d+)/.exec(output)?.[1] ?? 0);
    const perSecond = Number(/tps = ([\d.]+)/.exec(output)?.[1] ?? 0);
    return {
      operations,
      elapsedMs: (operations / perSecond) * 1_000,
      clientCpuMs,
      serverCpuMs: KNOWS_CPU_TIME ? serverCpuMs : undefined,
      foreignShare: KNOWS_CPU_TIME ? Math.max(0, foreignMs) / (elapsedMs * availableParallelism()) : 0,
      p50Ms: undefined,
      p99Ms: undefined,
    };
  }

  /** The server's processes end with their connections: their time is found with the one that has made them. */
  #serverCpuMs(): number {
    const { postmaster } = this.#server;
    const alive = this.#server.family().reduce((sum, pid) => sum + cpuTimeOf(pid), 0);
    return alive + cpuTimeOfDeadChildren(postmaster);
  }

  async #scripts(workload: Workload): Promise<string[]> {
    const scripts = SCRIPTS[workload];
    const files = scripts.map((_, index) => join(this.#folder, `${workload}-${index}.sql`));
    await Promise.all(files.map((file, index) => writeFile(file, `${scripts[index]?.join('\n')}\n`)));
    if (files.length === 1) return ['-f', files[0] as string];
    return ['-f', `${files[0]}@${SLOW_EVERY - 1}`, '-f', `${files[1]}@1`];
  }

  #run(parameters: readonly string[]): Promise<{ output: string; clientCpuMs: number }> {
    // The shell's own `times` tells what its child has used.
    const child = spawn('sh', ['-c', '"$@" && times', 'sh', this.#program, ...parameters], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => {
        if (code !== 0) return reject(new Error(`pgbench ended with ${code}:\n${output}`));
        const times = [...output.matchAll(/(\d+)m([\d.]+)s/g)].slice(-2);
        const clientCpuMs = times.reduce(
          (sum, [, minutes, own]) => sum + Number(minutes) * 60_000 + Number(own) * 1_000,
          0,
        );
        resolve({ output, clientCpuMs });
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#folder, { recursive: true, force: true });
  }
}
