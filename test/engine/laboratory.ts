import { Pool } from '#pooling/core/pool.js';
import type { PoolDependencies, PoolOptions } from '#pooling/core/pool-options.js';
import { ManualClock, settle } from '#pooling/testing/manual-clock.js';
import { FakeConnector, type FakeConnection } from './fake-connector.js';
import { poolOptions } from './pool-options.js';

/** A pool whose time and connections are in the test's hands. */
export interface Laboratory {
  readonly clock: ManualClock;
  readonly connector: FakeConnector;
  readonly pool: Pool<FakeConnection>;
}

/** Makes a laboratory. */
export type MakeLaboratory = (
  overrides?: Partial<PoolOptions>,
  dependencies?: PoolDependencies<FakeConnection>,
  connector?: FakeConnector,
) => Laboratory;

/**
 * Laboratories for the tests of one file, whose pools are closed after each test.
 *
 * @param closed looks at each pool that was closed.
 */
export function useLaboratories(closed: (laboratory: Laboratory) => void = () => undefined): MakeLaboratory {
  const open: Laboratory[] = [];
  afterEach(async () => {
    for (const laboratory of open.splice(0)) {
      const { pool, connector, clock } = laboratory;
      connector.healthy = true;
      const closing = pool.close(0);
      await settle();
      while (connector.pending.length > 0) connector.pending[0]?.succeed();
      await clock.advance(10_000);
      await closing;
      closed(laboratory);
    }
  });
  return (overrides = {}, dependencies = {}, connector = new FakeConnector()) => {
    const clock = new ManualClock();
    const pool = new Pool(poolOptions(overrides), connector, { clock, random: () => 0.5, ...dependencies });
    const made = { clock, connector, pool };
    open.push(made);
    return made;
  };
}
