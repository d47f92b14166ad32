import { runTypeScript, type Child } from './child.js';

/** The demo in a process of its own. */
export interface Demo {
  readonly child: Child;
  readonly shop: string;
  readonly carrier: string;
  /** Ends it by SIGTERM and says how it ended. */
  stop(): Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Starts the demo on free ports and waits until it says where it is. */
export async function startDemo(env: NodeJS.ProcessEnv): Promise<Demo> {
  const child = runTypeScript(new URL('./programs/observed-demo.ts', import.meta.url), {
    env: { PORT: '0', CARRIER_PORT: '0', DATABASE_URL: '', ...env },
  });
  const [, shop, carrier] = await child.prints(/shop +(http\S+)\n +carrier +(http\S+)/);
  return {
    child,
    shop: shop as string,
    carrier: carrier as string,
    stop() {
      child.process.kill('SIGTERM');
      return child.ended;
    },
  };
}
