import { BadRequestException, ForbiddenException, NotFoundException } from '@nestjs/common';
import { CONSOLE_ACTIONS, type ConsoleAction } from './console-options.js';
import type { ConsoleDatabase, ConsoleSource } from './console-source.js';

/** A command from the page. */
interface Order {
  readonly action: ConsoleAction;
  readonly pool: string;
  readonly connection?: number;
  readonly size?: number;
  readonly maxOverflow?: number;
}

/** The highest bound that can be set from the page: a slip of the finger must not ask a server for a million. */
const HIGHEST_BOUND = 10_000;

function isCount(value: unknown, least: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= HIGHEST_BOUND;
}

function orderFrom(body: unknown): Order {
  const { action, pool, connection, size, maxOverflow } = Object(body) as Record<string, unknown>;
  if (!CONSOLE_ACTIONS.includes(action as ConsoleAction)) throw new BadRequestException('unknown action');
  if (typeof pool !== 'string') throw new BadRequestException('pool: a name is needed');
  const order = { action: action as ConsoleAction, pool };
  if (action === 'terminate') {
    if (!Number.isSafeInteger(connection)) throw new BadRequestException('connection: its number is needed');
    return { ...order, connection: connection as number };
  }
  if (action === 'resize') {
    if (!isCount(size, 1)) throw new BadRequestException(`size: an integer from 1 to ${HIGHEST_BOUND} is needed`);
    if (!isCount(maxOverflow, 0)) {
      throw new BadRequestException(`maxOverflow: an integer from 0 to ${HIGHEST_BOUND} is needed`);
    }
    return { ...order, size, maxOverflow };
  }
  return order;
}

/**
 * Carries out a command from the page.
 *
 * @returns what was done, for people.
 * @throws ForbiddenException when the application doesn't allow it, BadRequestException, NotFoundException.
 */
export function carryOut(body: unknown, allowed: readonly ConsoleAction[], source: ConsoleSource): string {
  const order = orderFrom(body);
  if (!allowed.includes(order.action)) throw new ForbiddenException(`${order.action} is not among allowedActions`);
  const database = source.databases().find(({ name }) => name === order.pool);
  if (database === undefined) throw new NotFoundException('no pool of this name');
  return act(order, database);
}

function act(order: Order, database: ConsoleDatabase): string {
  switch (order.action) {
    case 'expireAll':
      database.expireAll();
      return 'Every connection is replaced when it is next idle.';
    case 'suspend':
      database.suspend();
      return 'Suspended: acquires wait until the pool is resumed.';
    case 'resume':
      database.resume();
      return 'Resumed.';
    case 'resize': {
      const { size = 1, maxOverflow = 0 } = order;
      database.resize({ size, maxOverflow });
      return `Resized: size ${size}, overflow ${maxOverflow}.`;
    }
    case 'terminate':
      if (!database.terminate(order.connection as number)) throw new NotFoundException('nobody holds it any more');
      return `Connection ${order.connection} was taken from its holder and closed.`;
  }
}
