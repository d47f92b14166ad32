import type { DialFailure } from '../../core/connector.js';
import { describeCause } from '../../core/errors.js';
import type { ConnectionTarget } from '../options/connection-options.js';
import { stepOf, type DialStep } from '../options/dial-step.js';

/** What Node and OpenSSL call a certificate that isn't trusted. */
const UNTRUSTED_CERTIFICATE = new Set([
  'CERT_CHAIN_TOO_LONG',
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_REJECTED',
  'CERT_REVOKED',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'HOSTNAME_MISMATCH',
  'INVALID_CA',
  'INVALID_PURPOSE',
  'PATH_LENGTH_EXCEEDED',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_DECRYPT_CERT_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** The answer to TLS's first message is no TLS, or the two sides have no version or cipher in common. */
const TLS_FAILED = /^(?:EPROTO|ERR_SSL_|ERR_TLS_)/;

/** What explains one kind of failure. `permanent`: waiting doesn't heal it. */
interface Explanation {
  readonly permanent: boolean;
  readonly text: (target: ConnectionTarget) => string;
}

function passing(text: Explanation['text']): Explanation {
  return { permanent: false, text };
}

function permanent(text: Explanation['text']): Explanation {
  return { permanent: true, text };
}

function addressOf({ host, port }: ConnectionTarget): string {
  return host.startsWith('/') ? `the socket ${host}/.s.PGSQL.${port}` : `${host}:${port}`;
}

const NO_ANSWER = passing(
  (target) =>
    `There is no answer from ${addressOf(target)}: look at the address, firewalls on the way, and the server's load.`,
);

const NO_NAME_SERVER = passing(
  ({ host }) => `The name ${host} can't be looked up now: the name server doesn't answer.`,
);
const HUNG_UP = passing((target) => `${addressOf(target)} hung up while the connection was opened.`);
const NO_FILES = passing(
  () => 'This process may open no more files or sockets: raise its limit, or find who leaks them.',
);
const STALLED = passing(() => 'The event loop of this process stood still meanwhile: find what blocks it.');
const OWN_FAULT = passing(() => 'The fault is in this process, not in the server: the stack of the cause says where.');

/** Failures that aren't the server's, by the step at which they came up. */
const BY_STEP: Readonly<Record<DialStep, Explanation>> = {
  password: passing(() => 'The function that gives the password failed: the server was not at fault.'),
  session: permanent(
    () => 'The server refuses a setting of its sessions: correct session or the time-outs in the options.',
  ),
  onConnect: passing(() => 'The connection was open by then: onConnect failed.'),
};

/** By the error's code: SQLSTATE of the server, or Node's. */
const BY_CODE: ReadonlyMap<string, Explanation> = new Map<string, Explanation>([
  [
    'ECONNREFUSED',
    passing(
      (target) =>
        `Nothing listens at ${addressOf(target)}: start PostgreSQL there, or correct host and port in DATABASE_URL or the options.`,
    ),
  ],
  [
    'ENOENT',
    passing(
      (target) => `There is no ${addressOf(target).replace('the ', '')}: start PostgreSQL, or correct the folder.`,
    ),
  ],
  ['EACCES', permanent((target) => `This process may not open ${addressOf(target)}: look at its permissions.`)],
  ['ENOTFOUND', permanent(({ host }) => `The name ${host} doesn't exist: correct it in DATABASE_URL or the options.`)],
  ['EAI_AGAIN', NO_NAME_SERVER],
  ['ENODATA', permanent(({ host }) => `The name ${host} has no address: correct it in DATABASE_URL or the options.`)],
  ['ESERVFAIL', NO_NAME_SERVER],
  ['EMFILE', NO_FILES],
  ['ENFILE', NO_FILES],
  ['ECONNRESET', HUNG_UP],
  ['EPIPE', HUNG_UP],
  ['ETIMEDOUT', NO_ANSWER],
  ['ENETDOWN', NO_ANSWER],
  ['EHOSTUNREACH', NO_ANSWER],
  ['ENETUNREACH', NO_ANSWER],
  ['EHOSTDOWN', NO_ANSWER],
  [
    '28P01',
    permanent(
      ({ user }) => `The server refuses the password of user ${user}: correct it in DATABASE_URL or the options.`,
    ),
  ],
  [
    '28000',
    permanent(
      ({ user }) =>
        `The server doesn't let user ${user} in: look at the role, at pg_hba.conf, and whether it asks for TLS.`,
    ),
  ],
  [
    '3D000',
    permanent(
      ({ database }) => `The database ${database} doesn't exist: create it, or name another one in DATABASE_URL.`,
    ),
  ],
  [
    '42501',
    permanent(({ user, database }) => `User ${user} has no permission for what connecting to ${database} needs.`),
  ],
  ['53300', passing(() => 'The server has no connection left: it takes no more clients at this time.')],
  ['57P03', passing(() => 'The server is starting up, shutting down or recovering.')],
  ['57P01', passing(() => 'The server is shutting down.')],
]);

const CERTIFICATE = permanent(
  ({ host }) =>
    `The certificate of ${host} isn't trusted: give its authority as ssl.ca (sslrootcert), and use the name it is made for.`,
);
const TLS = permanent(
  (target) => `TLS with ${addressOf(target)} failed: the two sides have no way to speak it in common.`,
);

const NOT_POSTGRES = permanent(
  (target) =>
    `What answers at ${addressOf(target)} isn't PostgreSQL: correct host and port in DATABASE_URL or the options.`,
);

/** By the message: pg's own errors have no code. */
const BY_MESSAGE: readonly (readonly [words: RegExp, explanation: Explanation])[] = [
  [
    /does not support SSL/,
    permanent(
      (target) => `The server at ${addressOf(target)} doesn't speak TLS: turn it off there, or here (sslmode=disable).`,
    ),
  ],
  [
    /password must be a (?:non-empty )?string|asks for a password, and none is set/,
    permanent(
      ({ user }) => `The server asks for the password of user ${user}, and none is set: DATABASE_URL or PGPASSWORD.`,
    ),
  ],
  [/establishing an SSL connection/, NOT_POSTGRES],
  [
    /^the server asks for authentication/,
    permanent(
      ({ user }) =>
        `pg can't log user ${user} in that way: have pg_hba.conf ask for scram-sha-256, md5, a certificate or trust.`,
    ),
  ],
  [/Connection terminated|the server hung up/, HUNG_UP],
  // PgBouncer gives all of these the code of a protocol violation.
  [
    /no such database/i,
    permanent(({ database }) => `The pooler knows no database ${database}: add it there, or name another one.`),
  ],
  [
    /server login has been failing|client_login_timeout|query_wait_timeout|server conn crashed/i,
    passing(() => 'The pooler gets no connection to its server: that is down, or has none left for it.'),
  ],
  [/no more connections/i, passing(() => 'The pooler has no connection left: it takes no more clients at this time.')],
  [
    /unsupported startup parameter/i,
    permanent(() => 'A pooler refuses a start-up parameter: give it as one of the session settings.'),
  ],
];

function explanationOf(error: unknown): Explanation | undefined {
  if (!(error instanceof Error)) return undefined;
  // Every address of a name was tried, and each failed in its own way.
  if (error instanceof AggregateError && (error as { code?: unknown }).code === undefined) {
    return explanationOf(error.errors.at(-1));
  }
  const step = stepOf(error);
  if (step !== undefined) return BY_STEP[step];
  const { code, stalledMs } = error as { code?: unknown; stalledMs?: unknown };
  if (typeof stalledMs === 'number') return STALLED;
  if (typeof code === 'string') {
    if (UNTRUSTED_CERTIFICATE.has(code)) return CERTIFICATE;
    const known = BY_CODE.get(code);
    if (known !== undefined) return known;
    if (TLS_FAILED.test(code)) return TLS;
  }
  const known = BY_MESSAGE.find(([words]) => words.test(error.message))?.[1];
  return known ?? (isProgrammingError(error) ? OWN_FAULT : undefined);
}

function isProgrammingError(error: Error): boolean {
  return error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError;
}

/**
 * What a failed dial means, in words for the person who reads the log, and whether waiting may heal it. An unknown failure
 * may heal.
 */
export function explainConnectFailure(error: unknown, target: ConnectionTarget): DialFailure {
  const explanation = explanationOf(error);
  return {
    permanent: explanation?.permanent ?? false,
    advice:
      explanation?.text(target) ?? `A connection to ${addressOf(target)} can't be opened: ${describeCause(error)}`,
  };
}
