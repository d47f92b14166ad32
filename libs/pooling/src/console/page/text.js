/**
 * A duration for people: `340 ms`, `12.3 s`, `4 min 10 s`.
 *
 * @param {number} ms
 */
export function duration(ms) {
  if (ms < 10) return `${Math.round(ms * 100) / 100} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1000);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

/**
 * A duration in three characters or so, for a cell; none below a second: it would only flicker.
 *
 * @param {number} ms
 */
export function shortDuration(ms) {
  if (ms < 1000) return '';
  if (ms < 100_000) return `${Math.floor(ms / 1000)}s`;
  if (ms < 6_000_000) return `${Math.floor(ms / 60_000)}m`;
  return `${Math.floor(ms / 3_600_000)}h`;
}

/**
 * An amount of data for people: `820 B`, `12.3 kB`, `4.0 GB`.
 *
 * @param {number} bytes
 */
export function amount(bytes) {
  const units = ['B', 'kB', 'MB', 'GB'];
  let [value, unit] = [bytes, 0];
  for (; value >= 999.95 && unit < units.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/**
 * How far behind a replica is, for people: `120 ms (12.3 kB) behind`, `up to date`.
 *
 * @param {number} lagMs
 * @param {number | undefined} lagBytes
 */
export function behind(lagMs, lagBytes) {
  if (lagMs === 0) return 'up to date';
  return `${duration(lagMs)}${lagBytes === undefined ? '' : ` (${amount(lagBytes)})`} behind`;
}

/**
 * A count for people: `12,345`.
 *
 * @param {number} value
 */
export function number(value) {
  return (Math.round(value * 10) / 10).toLocaleString('en');
}

/**
 * The time of day of a moment.
 *
 * @param {number} at milliseconds since 1970
 */
export function timeOfDay(at) {
  return new Date(at).toLocaleTimeString('en', { hourCycle: 'h23' });
}

/**
 * A moment in the reader's own time.
 *
 * @param {number} at milliseconds since 1970
 */
export function dateAndTime(at) {
  const date = new Date(at);
  return `${date.toLocaleDateString('en', { day: 'numeric', month: 'short' })}, ${timeOfDay(at)}`;
}

/**
 * Where a position is, without the function's name: `orders.service.ts:42`.
 *
 * @param {string} position `OrdersService.create (orders.service.ts:42)`
 */
export function fileOf(position) {
  return /\(([^()]+)\)$/.exec(position)?.[1] ?? position;
}
