/** Makes some requests and does nothing more: whether it ends is what is looked at. */
import { HttpClient } from '#pooling/http/http-client.js';

const [url, then] = process.argv.slice(2) as [string, 'close' | 'forget'];
const client = new HttpClient('program', { leakDetectionMs: 0 });
await Promise.all(Array.from({ length: 5 }, () => client.get(url)));
await client.get(url, { timeouts: { totalMs: 10_000 }, signal: new AbortController().signal });
await client.get('http://127.0.0.1:1/', { retry: false }).catch(() => {});
if (then === 'close') await client.close();
process.stdout.write('done\n');
