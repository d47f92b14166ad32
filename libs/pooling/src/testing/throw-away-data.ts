import { rmSync } from 'node:fs';

const stoppedThrowAways = new Set<string>();

/** A running server's watchdog removes its data; of a stopped one, the process itself has to. */
export function removeAtExit(directory: string): void {
  if (stoppedThrowAways.size === 0) process.once('exit', removeStoppedThrowAways);
  stoppedThrowAways.add(directory);
}

/** The folder is in use again, or gone. */
export function keepAtExit(directory: string): void {
  stoppedThrowAways.delete(directory);
  if (stoppedThrowAways.size === 0) process.off('exit', removeStoppedThrowAways);
}

function removeStoppedThrowAways(): void {
  for (const directory of stoppedThrowAways) rmSync(directory, { recursive: true, force: true });
}
