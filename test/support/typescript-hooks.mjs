import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { transform } from 'rolldown/utils';

const PATHS = new Map([
  ['nestjs-pooling', new URL('../../libs/pooling/src/index.ts', import.meta.url).href],
  ['nestjs-pooling/testing', new URL('../../libs/pooling/src/testing/index.ts', import.meta.url).href],
]);

const HELPERS = '@oxc-project/runtime/helpers/';
const HELPER_NAMES = { decorate: '__decorate', decorateParam: '__param', decorateMetadata: '__metadata' };

export async function resolve(specifier, context, nextResolve) {
  const mapped = PATHS.get(specifier);
  if (mapped !== undefined) return { url: mapped, shortCircuit: true };
  if (specifier.startsWith(HELPERS))
    return { url: `typescript-helper:${specifier.slice(HELPERS.length)}`, shortCircuit: true };
  if (context.parentURL?.startsWith('typescript-helper:'))
    return nextResolve(specifier, { ...context, parentURL: import.meta.url });
  if (/^\.\.?\/.*\.js$/.test(specifier) && context.parentURL?.endsWith('.ts')) {
    const source = new URL(specifier.replace(/\.js$/, '.ts'), context.parentURL);
    if (existsSync(source)) return { url: source.href, shortCircuit: true };
  }
  return nextResolve(specifier, context);
}

export async function load(url, context, nextLoad) {
  if (url.startsWith('typescript-helper:')) {
    const name = HELPER_NAMES[url.slice('typescript-helper:'.length)];
    return { format: 'module', shortCircuit: true, source: `export { ${name} as default } from 'tslib';` };
  }
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return nextLoad(url, context);
  const file = fileURLToPath(url);
  const { code, map, errors } = await transform(file, await readFile(file, 'utf8'), {
    lang: 'ts',
    target: 'es2023',
    sourcemap: true,
    decorator: { legacy: true, emitDecoratorMetadata: true },
  });
  if (errors.length > 0) throw new SyntaxError(`${file}: ${errors.map((error) => error.message).join('\n')}`);
  const inlineMap = Buffer.from(JSON.stringify(map)).toString('base64');
  return {
    format: 'module',
    shortCircuit: true,
    source: `${code}\n//# sourceMappingURL=data:application/json;base64,${inlineMap}`,
  };
}
