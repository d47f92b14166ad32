import { PostgresServer, type PostgresServerOptions } from 'nestjs-pooling/testing';

// Starts a server as the first argument says, prints where it is, and stays until it is killed.
const { pause, leave, ...options } = JSON.parse(process.argv[2] as string) as PostgresServerOptions & {
  pause?: boolean;
  leave?: boolean;
};
const server = await PostgresServer.start(options);
if (pause) await server.pause();
process.stdout.write(`port=${server.port} directory=${server.dataDirectory}\n`);
if (!leave) setInterval(() => undefined, 60_000);
