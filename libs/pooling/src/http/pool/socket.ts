import type { Socket } from 'node:net';

/** `http` and `https` sockets alike, and the fields of TLS that matter here. */
export type HttpSocket = Socket & { readonly alpnProtocol?: string | false };
