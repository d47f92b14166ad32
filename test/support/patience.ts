/**
 * Runs before each file of tests. How long a machine takes is nobody's fault: what a test waits for gets half a minute
 * instead of one second, and a test that fails says what it has waited for before it runs into its own limit.
 */
const PATIENCE_MS = 30_000;

const { waitFor, waitUntil } = vi;

vi.waitFor = (callback, options = {}) => waitFor(callback, patient(options));
vi.waitUntil = (callback, options = {}) => waitUntil(callback, patient(options));

function patient(options: Parameters<typeof waitFor>[1]): Parameters<typeof waitFor>[1] {
  return typeof options === 'number' ? options : { timeout: PATIENCE_MS, ...options };
}
