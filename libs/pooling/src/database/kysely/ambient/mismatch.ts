import { PoolTransactionError } from '../../../core/errors.js';
import type { ScopedTransaction } from './scope.js';
import type { Beginning } from '../../query/opening.js';

/** The modes of a transaction that was begun without any. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  isolationLevel: 'read committed',
  accessMode: 'read write',
  deferrable: false,
};

/**
 * Refuses to join a transaction that isn't what the caller asks for.
 *
 * @throws PoolTransactionError `ERR_POOL_TRANSACTION_MISMATCH`
 */
export function refuseMismatch({ name, beginning, begunAt }: ScopedTransaction, wanted: Beginning): void {
  for (const key of ['isolationLevel', 'accessMode', 'deferrable'] as const) {
    const running = beginning[key] ?? DEFAULTS[key];
    if (wanted[key] !== undefined && wanted[key] !== running) refuse(key, wanted[key], running);
  }
  for (const [setting, value] of Object.entries(wanted.settings ?? {})) {
    const running = beginning.settings?.[setting];
    // The value of a setting may be secret: only its name is shown.
    if (String(value) !== String(running)) refuse(`the setting ${setting}`, 'another value', 'its own');
  }

  function refuse(what: string, asked: unknown, has: unknown): never {
    const begun = begunAt.begunBy;
    throw new PoolTransactionError(
      name,
      `${name}: ${what} can't be ${String(asked)}: the running transaction` +
        `${begun === undefined ? '' : `, begun by ${begun},`} has ${String(has)}. ` +
        "Begin another with propagation: 'requires-new', or ask for this where it is begun",
      { code: 'ERR_POOL_TRANSACTION_MISMATCH' },
    );
  }
}
