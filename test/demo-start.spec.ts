import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from '#test/support/tools.js';

const BUILT = 'dist/apps/demo/apps/demo/src';

describe('npm start', () => {
  it('builds the demo, and passes the arguments on to it as they are', { timeout: 60_000 }, async () => {
    const project = await mkdtemp(join(tmpdir(), 'npm-start-'));
    try {
      const { scripts } = JSON.parse(await readFile(join(import.meta.dirname, '../package.json'), 'utf8')) as {
        scripts: Record<string, string>;
      };
      await writeFile(
        join(project, 'package.json'),
        JSON.stringify({ type: 'module', scripts: { start: scripts['start'] } }),
      );
      const folder = join(project, 'node_modules/.bin');
      await mkdir(folder, { recursive: true });
      const print = 'process.stdout.write(JSON.stringify({ said: process.argv.slice(2) }) + "\\n");\n';
      // Nest's program here builds nothing: what it would have built stands there.
      await writeFile(join(folder, 'nest'), `#!/usr/bin/env node\n${print}`, { mode: 0o755 });
      await mkdir(join(project, BUILT), { recursive: true });
      await writeFile(join(project, BUILT, 'main.js'), print);
      const { stdout } = await run('npm', ['start', '--silent', '--', '--cluster', 'two words'], { cwd: project });
      expect(stdout.trim().split('\n')).toEqual(['{"said":["build","demo"]}', '{"said":["--cluster","two words"]}']);
    } finally {
      await rm(project, { recursive: true });
    }
  });
});
