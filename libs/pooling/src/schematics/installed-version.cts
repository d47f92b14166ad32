/* Looks for packages with `require`, which finds them where they are: in a folder above, or in the archives of Yarn's PnP. */

/** The version of a package that the project finds; `undefined` when it finds none. */
export function installedVersion(name: string, project: string = process.cwd()): string | undefined {
  try {
    const manifest = require.resolve(`${name}/package.json`, { paths: [project] });
    return (require(manifest) as { version?: string }).version;
  } catch {
    return undefined;
  }
}
