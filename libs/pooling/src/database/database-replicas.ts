import { EventEmitter } from 'node:events';
import type { CommonParts, DatabasePoolDependencies, DatabaseParts } from './database-parts.js';
import type { ResolvedDatabaseOptions } from './options/options.js';
import { PrimaryPosition } from './replicas/primary-position.js';
import type { ReplicaParts } from './replicas/replica.js';
import { ReplicaReads } from './replicas/replica-reads.js';
import { ReplicaSet } from './replicas/replica-set.js';

/** How long a look at the primary may wait for one of its connections, in milliseconds. */
const LOOK_MS = 1_000;

/** Makes the parts of a pool. */
type MakeParts = (
  name: string,
  configuration: ResolvedDatabaseOptions,
  dependencies: DatabasePoolDependencies,
  emitter: EventEmitter,
  common: CommonParts,
) => ReplicaParts;

/** The replicas of a pool. */
export interface DatabaseReplicas {
  readonly set: ReplicaSet;
  readonly reads: ReplicaReads;
}

/** Makes the replicas of a pool; `undefined`: it has none. */
export function replicasOf(
  configuration: ResolvedDatabaseOptions,
  parts: DatabaseParts,
  dependencies: DatabasePoolDependencies,
  makeParts: MakeParts,
): DatabaseReplicas | undefined {
  const { replicas, queryTimeoutMs } = configuration;
  if (replicas === undefined) return undefined;
  const { clock, engine, hosts, leases, writes } = parts;
  const primary = new PrimaryPosition({ clock, leases }, writes);
  const set = new ReplicaSet(replicas, {
    clock,
    random: dependencies.random ?? Math.random,
    make: (options, removed) =>
      makeParts(options.name, options, dependencies, new EventEmitter().on('remove', removed), parts),
    askPrimary: async () => {
      const position = await primary.ask(LOOK_MS);
      return position === 'nowhere' ? undefined : position;
    },
    promoted: () => {
      hosts?.dialling.suspectHosts();
      engine.suspectAll();
      if (engine.open === 0) engine.probe();
    },
  });
  const reads = new ReplicaReads({
    set,
    leases,
    queryTimeoutMs,
    needed: (limitMs) => writes?.needed(() => primary.ask(limitMs)),
  });
  return { set, reads };
}
