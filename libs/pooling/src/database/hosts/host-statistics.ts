/** What is known of one of several hosts. */
export interface HostStatistics {
  /** `name:port`. */
  readonly host: string;
  /** The last known role of its server; `undefined` where nothing is known, or where it is down. */
  readonly role: 'primary' | 'standby' | undefined;
  /** `down`: it could not be connected to within the last `hostRecheckMs`. */
  readonly state: 'up' | 'down' | 'unknown';
  /** Connections of the pool that go to it. */
  readonly connections: number;
  /**
   * `name:port` of the host that has taken over, where both take writes: an old primary that runs on without a fence. Nothing
   * is sent to it.
   */
  readonly supersededBy?: string | undefined;
}

/** What is known of several hosts. */
export interface HostsStatistics {
  /** How often the host that takes writes has changed. */
  readonly failovers: number;
  readonly states: readonly HostStatistics[];
}
