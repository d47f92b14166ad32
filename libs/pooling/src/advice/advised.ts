import type { Holder } from '../core/holders.js';
import type { AcquireOptions } from '../core/pool-options.js';
import type { PoolStatistics } from '../core/statistics.js';
import type { FleetStatistics } from '../database/fleet/fleet-member.js';
import type { HostsStatistics } from '../database/hosts/host-statistics.js';
import type { ResolvedDatabaseOptions } from '../database/options/options.js';
import type { ReplicasStatistics } from '../database/replicas/replica-statistics.js';
import type { HttpClientStatistics } from '../http/pool/statistics.js';

/** The part of a leased connection that advice needs. */
export interface AdvisedConnection {
  /** The server's process id, as it was told when the connection was opened. */
  readonly processID?: number | null;
  query(text: string): Promise<{ readonly rows: readonly unknown[] }>;
  release(): void;
}

/** The options that are looked at. */
export type AdvisedConfiguration = Pick<ResolvedDatabaseOptions, 'target' | 'prePing' | 'maxLifetimeMs' | 'startup'> &
  Partial<Pick<ResolvedDatabaseOptions, 'applicationName' | 'budget' | 'replicas'>>;

/** The part of a `DatabasePool` that advice needs. */
export interface AdvisedDatabase {
  readonly name: string;
  readonly configuration: AdvisedConfiguration;
  statistics(): PoolStatistics & {
    readonly readOnly?: boolean;
    readonly fleet?: FleetStatistics;
    readonly hosts?: HostsStatistics;
    readonly replicas?: ReplicasStatistics;
  };
  holders(): readonly Holder[];
  connect(options: AcquireOptions): Promise<AdvisedConnection>;
}

/** The part of an `HttpClient` that advice needs. */
export interface AdvisedHttpClient {
  readonly name: string;
  statistics(): HttpClientStatistics;
}

/** The key of a pool's server, for grouping pools. */
export function serverOf({ configuration: { target } }: AdvisedDatabase): string {
  return `${target.host}:${target.port}`;
}
