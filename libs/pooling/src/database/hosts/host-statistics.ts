/** What is known of one of several hosts. */
export interface HostStatistics {
  /** `name:port`. */
  readonly host: string;
  /** What the server was last known to be; `undefined` where nothing is known, or where it is down. */
  readonly role: 'primary' | 'standby' | undefined;
  /** `down`: it could not be connected to within the last `hostRecheckMs`. */
  readonly state: 'up' | 'down' | 'unknown';
  /** Connections of the pool that go to it. */
  readonly connections: number;
}

/** What is known of several hosts. */
export interface HostsStatistics {
  /** How often the host that takes writes was another one than before. */
  readonly failovers: number;
  readonly states: readonly HostStatistics[];
}
