import type { Client } from 'pg';
import { hasPassword, protocolOf } from '../pg-internals.js';

/**
 * Ends a dial whose server asks for a password where none is set, and none was found: pg answers with the empty one, or
 * with the hash of `null`, and the server calls that a wrong password. To be called before the client connects.
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
 * Ends a dial whose server doesn't bind the exchange of the password to its certificate, before it hears the password:
 * libpq's `channel_binding=require`. To be called before the client connects.
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
