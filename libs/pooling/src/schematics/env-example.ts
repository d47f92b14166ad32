import { readText, shownPath, type Tree } from './tree.js';

/** Usual names of the file that lists the variables. The first one is made where there is none. */
const NAMES = ['/.env.example', '/.env.sample', '/.env.template', '/.env.dist', '/example.env'];

/** What was done: `added`, or `present` when the variable is named there already. */
export interface EnvExample {
  readonly file: string;
  readonly was: 'added' | 'present';
}

/** Names a variable in the project's example of an environment. */
export function addToEnvExample(tree: Tree, variable: string, value: string): EnvExample {
  const path = NAMES.find((each) => tree.exists(each));
  const line = `${variable}=${value}\n`;
  if (path === undefined) {
    tree.create(NAMES[0]!, line);
    return { file: shownPath(NAMES[0]!), was: 'added' };
  }
  const text = readText(tree, path)!;
  if (new RegExp(`^\\uFEFF?[ \\t]*(?:export[ \\t]+)?${variable}[ \\t]*=`, 'm').test(text))
    return { file: shownPath(path), was: 'present' };
  const newline = text.includes('\r\n') ? '\r\n' : '\n';
  const gap = text === '' || text.endsWith('\n') ? '' : newline;
  tree.overwrite(path, `${text}${gap}${line.replace('\n', newline)}`);
  return { file: shownPath(path), was: 'added' };
}
