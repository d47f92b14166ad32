import { readSettings } from './settings.js';

describe('readSettings', () => {
  it('knows a default for everything', () => {
    expect(readSettings({})).toEqual({
      port: 3000,
      host: '127.0.0.1',
      carrierPort: 3001,
      carrierUrl: undefined,
      databaseUrl: undefined,
      dataDirectory: '.data/postgres',
      cluster: false,
      databaseBudget: undefined,
      drainDelayMs: 0,
      preparedStatements: true,
      leakDetectionMs: 10_000,
      slowQueryMs: 200,
      consoleActions: [],
      faults: false,
      traces: false,
    });
  });

  it('takes the actions of the console as a list, or all of them', () => {
    expect(readSettings({ CONSOLE_ACTIONS: 'suspend, resume' }).consoleActions).toEqual(['suspend', 'resume']);
    expect(readSettings({ CONSOLE_ACTIONS: 'all' }).consoleActions).toContain('terminate');
    expect(() => readSettings({ CONSOLE_ACTIONS: 'explode' })).toThrow(/CONSOLE_ACTIONS/);
  });

  it('takes a cluster from the arguments or the variables, and not beside another database', () => {
    expect(readSettings({}, ['--cluster']).cluster).toBe(true);
    expect(readSettings({ CLUSTER: '1' }).cluster).toBe(true);
    expect(() => readSettings({ DATABASE_URL: 'postgres://db/shop' }, ['--cluster'])).toThrow(/DATABASE_URL/);
  });

  it('refuses an argument that there is not', () => {
    expect(() => readSettings({}, ['--clustr'])).toThrow(/^Wrong arguments: Unknown option '--clustr'/);
    expect(() => readSettings({}, ['cluster'])).toThrow(/^Wrong arguments: .*'cluster'/);
  });

  it('takes an empty variable for one that is not set', () => {
    expect(readSettings({ PORT: '', DATABASE_URL: '' })).toMatchObject({ port: 3000, databaseUrl: undefined });
  });

  it('names every variable that is wrong', () => {
    const wrong = { PORT: '70000', CARRIER_PORT: 'x', CARRIER_URL: 'ftp://carrier' };
    expect(() => readSettings(wrong)).toThrow(/PORT[\s\S]*CARRIER_PORT[\s\S]*CARRIER_URL|CARRIER_URL[\s\S]*PORT/);
  });
});
