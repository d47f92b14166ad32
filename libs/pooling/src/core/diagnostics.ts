import { channel } from 'node:diagnostics_channel';

/** What is published when a pool is made. */
export interface PoolCreated {
  readonly name: string;
  /** `host:port/database` */
  readonly server: string;
}

/** A pool to a database was made: {@link PoolCreated}. Without a subscriber a channel costs one look at a flag. */
export const poolChannel = channel('nestjs-pooling:pool');
