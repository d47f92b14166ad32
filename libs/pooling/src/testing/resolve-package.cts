/* Looks for packages with `require`: what finds them has to work in an ES module, in CommonJS and under Jest. */

/** Where a package of the application's, or of one of its packages, begins; `undefined` when it isn't installed. */
export function resolvePackage(name: string, from: readonly string[] = [__dirname, process.cwd()]): string | undefined {
  for (const folder of from) {
    try {
      return require.resolve(name, { paths: [folder] });
    } catch {
      continue;
    }
  }
  return undefined;
}
