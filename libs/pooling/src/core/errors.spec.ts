import { inspect } from 'node:util';
import { describeCause, HttpTimeoutError, PoolAcquireTimeoutError, PoolConnectError } from './errors.js';

describe('errors', () => {
  const cause = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:5432'), {
    code: 'ECONNREFUSED',
    password: 'secret',
  });

  it('have a stable code, the pool, plain details and the real cause', () => {
    const error = new PoolConnectError('orders', 'orders: no connection', { cause, details: { attempts: 3 } });
    expect(error).toMatchObject({ code: 'ERR_POOL_CONNECT_FAILED', pool: 'orders', cause, details: { attempts: 3 } });
    expect(error.name).toBe('PoolConnectError');
    expect(Object.isFrozen(error.details)).toBe(true);
    expect(new HttpTimeoutError('http', 'slow', 'read').details).toEqual({ phase: 'read' });
  });

  it('are plain data for a logger, and short for a person', () => {
    const error = new PoolAcquireTimeoutError('orders', 'orders: no connection', { cause });
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      name: 'PoolAcquireTimeoutError',
      code: 'ERR_POOL_ACQUIRE_TIMEOUT',
      pool: 'orders',
      message: 'orders: no connection',
      details: {},
      cause: 'connect ECONNREFUSED 127.0.0.1:5432',
    });
    const inspected = inspect(error);
    expect(inspected).toContain("code: 'ERR_POOL_ACQUIRE_TIMEOUT', pool: 'orders'");
    expect(inspected).toContain('ECONNREFUSED');
    expect(inspected).not.toContain('secret');
  });

  it('describe a cause without a message of its own by what it holds', () => {
    const both = new AggregateError([cause, Object.assign(new Error('connect'), { code: 'ETIMEDOUT' })]);
    expect(describeCause(both)).toBe('connect ECONNREFUSED 127.0.0.1:5432; ETIMEDOUT: connect');
    expect(describeCause('broken')).toBe('broken');
    expect(describeCause({ broken: true })).toBe('{ broken: true }');
  });
});
