/**
 * A registry that has the packed library, and sends those who ask for anything else on to the real one: `nest add` and
 * package managers install the library from it as they will when it is published. It runs in a process of its own, and
 * sends its address to the one that started it: `registry.mjs <tarball> <the real registry>`.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [tarball, real] = process.argv.slice(2);
const content = readFileSync(tarball);
const manifest = JSON.parse(execFileSync('tar', ['-xzOf', tarball, 'package/package.json'], { encoding: 'utf8' }));
const { name, version } = manifest;

function description(host) {
  const dist = {
    tarball: `http://${host}/${name}/-/${name}-${version}.tgz`,
    integrity: `sha512-${createHash('sha512').update(content).digest('base64')}`,
    shasum: createHash('sha1').update(content).digest('hex'),
  };
  return {
    _id: name,
    name,
    'dist-tags': { latest: version },
    versions: { [version]: { ...manifest, _id: `${name}@${version}`, dist } },
    time: { created: '2026-01-01T00:00:00.000Z', [version]: '2026-01-01T00:00:00.000Z' },
  };
}

const server = createServer(({ url, headers }, response) => {
  if (url === `/${name}`) {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(description(headers.host)));
  } else if (url === `/${name}/-/${name}-${version}.tgz`) {
    response.setHeader('content-type', 'application/octet-stream');
    response.end(content);
  } else response.writeHead(302, { location: new URL(`.${url}`, `${real.replace(/\/?$/, '/')}`).href }).end();
});
server.listen(0, '127.0.0.1', () => process.send(`http://127.0.0.1:${server.address().port}`));
process.on('disconnect', () => process.exit());
