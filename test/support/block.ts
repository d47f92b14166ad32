/** Waits until a process of the server is gone, while this one hears of nothing. */
export function blockUntilEnded(pid: number): void {
  for (;;) {
    try {
      process.kill(pid, 0);
    } catch {
      return;
    }
  }
}
