/* Loads the application's own TypeScript with `require`: the schematics edit its sources with it. */
import type ts from 'typescript' with { 'resolution-mode': 'import' };

export type TypeScript = typeof ts;

/** TypeScript as it parses: its native version 7 has no such interface. */
function loadFrom(folder: string): TypeScript | undefined {
  try {
    const compiler = require(require.resolve('typescript', { paths: [folder] })) as Partial<TypeScript>;
    return typeof compiler.createSourceFile === 'function' ? (compiler as TypeScript) : undefined;
  } catch {
    return undefined;
  }
}

function folderOf(name: string, from: string): string | undefined {
  try {
    return require.resolve(`${name}/package.json`, { paths: [from] }).slice(0, -'/package.json'.length);
  } catch {
    return undefined;
  }
}

/** The project's TypeScript, else that of its command line; `undefined` when there is none. */
export function loadTypeScript(project: string = process.cwd()): TypeScript | undefined {
  const commandLine = folderOf('@nestjs/cli', project);
  const folders = [project, commandLine, process.argv[1], __dirname].filter((folder) => folder !== undefined);
  for (const folder of folders) {
    const compiler = loadFrom(folder);
    if (compiler) return compiler;
  }
  return undefined;
}
