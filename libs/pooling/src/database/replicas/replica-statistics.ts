/** What is known of one replica. */
export interface ReplicaStatistics {
  /** `name:port`. */
  readonly host: string;
  /** What the server was last known to be. */
  readonly role: 'primary' | 'standby' | undefined;
  /** `down`: it did not answer when it was looked at last; `unknown`: nobody has looked, or it has lost its connections since. */
  readonly state: 'up' | 'down' | 'unknown';
  /** How old what it lacks is, in milliseconds; `undefined` where that isn't known, as while nobody reads from replicas. */
  readonly lagMs: number | undefined;
  /** How much of the primary's log it lacks, in bytes; `undefined` where that isn't known. */
  readonly lagBytes: number | undefined;
  /** Whether reads go to it, by what is known: it is up, a standby, and not too far behind. */
  readonly fit: boolean;
  /** Connections to it, and how many of them are in use. */
  readonly connections: number;
  readonly inUse: number;
}

/** Where reads of `@InjectReplicaDb()` went: to a replica, to one that was waited for first, or to the primary. */
export interface ReplicaReadCounts {
  readonly replica: number;
  readonly waited: number;
  readonly primary: number;
}

/** What is known of the replicas of a pool. */
export interface ReplicasStatistics {
  readonly reads: ReplicaReadCounts;
  readonly states: readonly ReplicaStatistics[];
}
