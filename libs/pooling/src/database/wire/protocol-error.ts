import { messageName } from './server-message.js';

/** The server has sent what the protocol doesn't allow: nothing on the connection can be trusted any more. */
export class ProtocolError extends Error {
  /** The system's code for a bad message: the connection is lost, as with `ECONNRESET`. */
  readonly code = 'EBADMSG';

  constructor(message: string) {
    super(message);
    this.name = 'ProtocolError';
  }
}

/** The error for a message that may not come at this moment. */
export function outOfOrder(type: number, when = ''): ProtocolError {
  return new ProtocolError(`the server has answered out of order: ${messageName(type)}${when}`);
}

/** The error for a message whose contents aren't what its type says. */
export function malformed(type: number): ProtocolError {
  return new ProtocolError(`the server has sent a malformed message: ${messageName(type)}`);
}

/** The error for a row that isn't of the result that was described. */
export function otherColumns(came: number, described: number): ProtocolError {
  return new ProtocolError(`the server has sent a row of ${came} columns where ${described} were described`);
}
