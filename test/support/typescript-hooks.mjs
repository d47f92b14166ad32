import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { transform } from 'rolldown/utils';

const PATHS = new Map([
  ['nestjs-pooling', new URL('../../libs/pooling/src/esm.ts', import.meta.url).href],
  ['nestjs-pooling/testing', new URL('../../libs/pooling/src/testing/index.ts', import.meta.url).href],
]);

/** The names that tests have for the library's insides and for each other's helpers, as in tsconfig.json. */
const FOLDERS = new Map([
  ['#pooling/', new URL('../../libs/pooling/src/', import.meta.url)],
  ['#test/', new URL('../', import.meta.url)],
]);

/** On one line, so that positions stay. */
const COMMONJS =
  "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url); " +
  'const __dirname = import.meta.dirname; ';

const HELPERS = '@oxc-project/runtime/helpers/';
const HELPER_NAMES = { decorate: '__decorate', decorateParam: '__param', decorateMetadata: '__metadata' };

export async function resolve(specifier, context, nextResolve) {
  const mapped = PATHS.get(specifier);
  if (mapped !== undefined) return { url: mapped, shortCircuit: true };
  for (const [name, folder] of FOLDERS) {
    if (!specifier.startsWith(name)) continue;
    const source = new URL(specifier.slice(name.length).replace(/js$/, 'ts'), folder);
    return { url: source.href, shortCircuit: true };
  }
  if (specifier.startsWith(HELPERS))
    return { url: `typescript-helper:${specifier.slice(HELPERS.length)}`, shortCircuit: true };
  if (context.parentURL?.startsWith('typescript-helper:'))
    return nextResolve(specifier, { ...context, parentURL: import.meta.url });
  if (/^\.\.?\/.*\.c?js$/.test(specifier) && /\.c?ts$/.test(context.parentURL ?? '')) {
    const source = new URL(specifier.replace(/js$/, 'ts'), context.parentURL);
    if (existsSync(source)) return { url: source.href, shortCircuit: true };
  }
  return nextResolve(specifier, context);
}

export async function load(url, context, nextLoad) {
  if (url.startsWith('typescript-helper:')) {
    const name = HELPER_NAMES[url.slice('typescript-helper:'.length)];
    return { format: 'module', shortCircuit: true, source: `export { ${name} as default } from 'tslib';` };
  }
  if (!url.startsWith('file:') || !/\.c?ts$/.test(url)) return nextLoad(url, context);
  const file = fileURLToPath(url);
  const { code, map, errors } = await transform(file, await readFile(file, 'utf8'), {
    lang: 'ts',
    target: 'es2023',
    sourcemap: true,
    decorator: { legacy: true, emitDecoratorMetadata: true },
  });
  if (errors.length > 0) throw new SyntaxError(`${file}: ${errors.map((error) => error.message).join('\n')}`);
  // CommonJS is run as an ES module, which is given what CommonJS has.
  const prelude = url.endsWith('.cts') ? COMMONJS : '';
  const inlineMap = Buffer.from(JSON.stringify(map)).toString('base64');
  return {
    format: 'module',
    shortCircuit: true,
    source: `${prelude}${code}\n//# sourceMappingURL=data:application/json;base64,${inlineMap}`,
  };
}
