import { rmSync } from 'node:fs';

const stoppedThrowAways = new Set<string>();

/** Removes the data of a stopped server when this process exits; a running server's watchdog does it otherwise. */
export function removeAtExit(directory: string): void {
  if (stoppedThrowAways.size === 0) process.once('exit', removeStoppedThrowAways);
  stoppedThrowAways.add(directory);
}

/** Takes that back: the folder is in use again, or gone. */
export function keepAtExit(directory: string): void {
  stoppedThrowAways.delete(directory);
  if (stoppedThrowAways.size === 0) process.off('exit', removeStoppedThrowAways);
}

function removeStoppedThrowAways(): void {
  for (const directory of stoppedThrowAways) rmSync(directory, { recursive: true, force: true });
}
