import { readdirSync, readFileSync } from 'node:fs';

/** Linux counts a process's time in these, in milliseconds. */
const CLOCK_TICK_MS = 10;

/** Whether this system tells the CPU time of other processes. */
export const KNOWS_CPU_TIME = process.platform === 'linux';

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** The CPU time that a process has used, in milliseconds; 0 when it is gone. */
export function cpuTimeOf(pid: number): number {
  const [onCpu] = read(`/proc/${pid}/schedstat`).split(' ');
  if (onCpu !== undefined && onCpu !== '') return Number(onCpu) / 1e6;
  const times = statOf(pid);
  return ((times[11] ?? 0) + (times[12] ?? 0)) * CLOCK_TICK_MS;
}

/** The CPU time of a process's ended and collected children, in milliseconds. */
export function cpuTimeOfDeadChildren(pid: number): number {
  const times = statOf(pid);
  return ((times[13] ?? 0) + (times[14] ?? 0)) * CLOCK_TICK_MS;
}

/** The numbers of `/proc/PID/stat` after the program's name, which may hold blanks; the first is the parent's id. */
function statOf(pid: number): number[] {
  const text = read(`/proc/${pid}/stat`);
  return text
    .slice(text.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
}

/** A process and its children now. */
export function familyOf(pid: number): number[] {
  if (!KNOWS_CPU_TIME) return [];
  const children = read(`/proc/${pid}/task/${pid}/children`).trim();
  if (children !== '') return [pid, ...children.split(' ').map(Number)];
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
  return [pid, ...all.filter((other) => statOf(other)[1] === pid)];
}

/** What all CPUs have done since the machine was started, in milliseconds of CPU time, stolen time included. */
export function machineBusyMs(): number {
  const [, ...columns] = (read('/proc/stat').split('\n')[0] ?? '').split(/\s+/);
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = columns.map(Number);
  return (user + nice + system + irq + softirq + steal) * CLOCK_TICK_MS;
}
