import { subscribe } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';

// The demo, which also tells which requests it has accepted: those are the ones that it has to answer.
subscribe('http.server.request.start', (message) => {
  const { request } = message as { request: IncomingMessage };
  const id = request.headers['x-request-id'];
  if (id !== undefined) process.stdout.write(`accepted ${String(id)}\n`);
});

await import('../../../apps/demo/src/main.js');
