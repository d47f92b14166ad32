import { malformed, ProtocolError } from './protocol-error.js';
import {
  AUTHENTICATION,
  BACKEND_KEY,
  ERROR,
  HEADER_BYTES,
  messageName,
  NOTICE,
  PARAMETER_STATUS,
  READY_FOR_QUERY,
} from './server-message.js';

/** Ways to log in that the server may ask for, by their numbers. */
const OK = 0;
const CLEARTEXT_PASSWORD = 3;
const MD5_PASSWORD = 5;
const SASL = 10;
const SASL_CONTINUE = 11;
const SASL_FINAL = 12;

/** Ways to log in that pg doesn't know. */
const UNSUPPORTED: ReadonlyMap<number, string> = new Map([
  [2, 'Kerberos V5'],
  [6, 'SCM credentials'],
  [7, 'GSSAPI (Kerberos)'],
  [8, 'GSSAPI (Kerberos)'],
  [9, 'SSPI'],
]);

/** The most mechanisms that a server may offer. */
const MOST_MECHANISMS = 64;

/**
 * Checks the order of messages until a connection is logged in: a server asks for one way to log in at most, SASL takes its
 * three steps in order, so that the server has proven itself as well, and nothing else comes in between.
 *
 * https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
 */
export class LoginOrder {
  /** The last request for authentication; -1: none yet. */
  #authentication = -1;

  /** Throws unless the message, whose form is right, may come now. */
  check(type: number, bytes: Buffer, start: number, end: number): void {
    switch (type) {
      case AUTHENTICATION:
        return this.#authenticate(bytes, start + HEADER_BYTES, end);
      case ERROR:
      case NOTICE:
      case PARAMETER_STATUS:
        return;
      case BACKEND_KEY:
      case READY_FOR_QUERY:
        if (this.#authentication === OK) return;
        break;
      default:
    }
    throw new ProtocolError(`the server has sent what doesn't belong into a login: ${messageName(type)}`);
  }

  #authenticate(bytes: Buffer, at: number, end: number): void {
    const request = bytes.readInt32BE(at);
    const before = this.#authentication;
    const bodyBytes = end - at - 4;
    const unsupported = UNSUPPORTED.get(request);
    if (unsupported !== undefined) {
      throw new ProtocolError(`the server asks for authentication with ${unsupported}, which pg doesn't support`);
    }
    this.#authentication = request;
    switch (request) {
      case OK:
        if (bodyBytes !== 0) throw malformed(AUTHENTICATION);
        if (before === -1 || before === CLEARTEXT_PASSWORD || before === MD5_PASSWORD || before === SASL_FINAL) return;
        break;
      case CLEARTEXT_PASSWORD:
      case MD5_PASSWORD:
        if (bodyBytes !== (request === MD5_PASSWORD ? 4 : 0)) throw malformed(AUTHENTICATION);
        if (before === -1) return;
        break;
      case SASL:
        checkMechanisms(bytes, at + 4, end);
        if (before === -1) return;
        break;
      case SASL_CONTINUE:
        if (before === SASL) return;
        break;
      case SASL_FINAL:
        if (before === SASL_CONTINUE) return;
        break;
      default:
        throw new ProtocolError(`the server asks for authentication number ${request}, which pg doesn't know`);
    }
    throw new ProtocolError('the server has sent the steps of a login out of order');
  }
}

/** The names of mechanisms, and an empty one behind the last. */
function checkMechanisms(bytes: Buffer, start: number, end: number): void {
  let at = start;
  for (let count = 0; count <= MOST_MECHANISMS; count++) {
    const zero = bytes.indexOf(0, at);
    if (zero < 0 || zero >= end) break;
    if (zero === at) {
      if (zero + 1 === end) return;
      break;
    }
    at = zero + 1;
  }
  throw malformed(AUTHENTICATION);
}
