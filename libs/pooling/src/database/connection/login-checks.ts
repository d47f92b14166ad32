import type { Client } from 'pg';
import { hasPassword, protocolOf } from '../pg-internals.js';

/**
 * Ends a dial whose server asks for a password that is neither set nor found. pg would answer with an empty one, or with the
 * hash of `null`, and the server would call it wrong. Call it before the client connects.
 */
export function refuseWithoutPassword(client: Client): void {
  const protocol = protocolOf(client);
  const send = protocol.password;
  protocol.password = (password) => {
    if (hasPassword(client)) return send.call(protocol, password);
    protocol.stream.destroy(new Error('the server asks for a password, and none is set'));
  };
}

/**
 * Ends a dial, before the password is sent, whose server doesn't bind the password's exchange to its certificate: libpq's
 * `channel_binding=require`. Call it before the client connects.
 */
export function requireChannelBinding(client: Client): void {
  const protocol = protocolOf(client);
  let offered = false;
  let bound = false;
  const refuse = (): void => {
    const { stream } = protocol;
    stream.destroy(new Error('the server offers no channel binding, and channel_binding=require asks for it'));
  };
  protocol.prependListener('authenticationSASL', (message: { readonly mechanisms?: readonly string[] }) => {
    offered = message.mechanisms?.includes('SCRAM-SHA-256-PLUS') === true;
    if (!offered) refuse();
  });
  protocol.prependListener('authenticationSASLFinal', () => {
    bound = offered;
  });
  protocol.prependListener('authenticationCleartextPassword', refuse);
  protocol.prependListener('authenticationMD5Password', refuse);
  protocol.prependListener('authenticationOk', () => {
    if (!bound) refuse();
  });
}
