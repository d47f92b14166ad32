import { ManualClock } from '../../testing/manual-clock.js';
import { HostDialling, type HostConnection } from './host-dialling.js';
import type { ServerFacts } from './server-facts.js';

const HOST = { host: '127.0.0.1', port: 5432 };
const PRIMARY: ServerFacts = { standby: false, readOnly: false };
const STANDBY: ServerFacts = { standby: true, readOnly: true };

class Connection implements HostConnection {
  closed = 0;

  constructor(readonly facts: ServerFacts) {}

  async close(): Promise<void> {
    this.closed++;
  }
}

function laboratory(): { clock: ManualClock; dialling: HostDialling<Connection> } {
  const clock = new ManualClock();
  const options = {
    hosts: [HOST],
    findHosts: undefined,
    targetSessionAttrs: 'read-write',
    loadBalanceHosts: 'disable',
    hostRecheckMs: 10_000,
    connectTimeoutMs: 4_000,
  } as const;
  return { clock, dialling: new HostDialling<Connection>(clock, options, () => 0) };
}

describe('a visit to a host', () => {
  it('ends when the server falls silent after its login, and leaves nothing behind', async () => {
    const { clock, dialling } = laboratory();
    const connection = new Connection(PRIMARY);
    const visited = dialling.visit(
      HOST,
      () => Promise.resolve(connection),
      () => new Promise(() => undefined),
    );
    await clock.advance(3_999);
    expect(connection.closed).toBe(0);
    await clock.advance(1);
    expect(await visited).toBeUndefined();
    expect(connection.closed).toBe(1);
    expect(clock.pendingTimers).toBe(0);
  });

  it('tells what a host is, whether it fits or not', async () => {
    const { dialling } = laboratory();
    for (const facts of [PRIMARY, STANDBY]) {
      const connection = new Connection(facts);
      expect(await dialling.factsOf(HOST, () => Promise.resolve(connection))).toEqual(facts);
      expect(connection.closed).toBe(1);
      expect(dialling.states.of(HOST)).toEqual(facts);
    }
    expect(await dialling.factsOf(HOST, () => Promise.reject(new Error('down')))).toBeUndefined();
    expect(dialling.states.of(HOST)).toBe('dead');
  });
});
