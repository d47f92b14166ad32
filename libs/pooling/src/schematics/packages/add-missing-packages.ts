import type { Project } from '../project.js';
import type { Report } from '../report.js';
import { LIBRARY } from '../words.js';
import { addPackages } from './manifest.js';
import { fits, NEST_MAJORS, packagesFor, type NeededPackage, type Parts } from './needed-packages.js';
import { majorOf } from './version-range.js';

function majorsOf({ works }: NeededPackage): string {
  return works.map(([major, minor]) => (minor === 0 ? `${major}` : `${major}.${minor}`)).join(' or ');
}

/** Nest's major version, as its core or a package of the same version tells. */
function nestMajor(project: Project, parts: Parts, report: Report): number {
  const core = project.versionOf('@nestjs/core');
  const versions = [core, project.versionOf('@nestjs/common')].filter((version) => version !== undefined);
  const major = versions.map((version) => majorOf(version, NEST_MAJORS)).find((each) => each !== undefined);
  const newest = Math.max(...NEST_MAJORS);
  if (major === undefined) {
    if (parts.health)
      report.warn(
        `"${core ?? ''}" doesn't show the version of Nest: @nestjs/terminus must have the same major version`,
      );
    return newest;
  }
  if (!NEST_MAJORS.includes(major))
    report.warn(`Nest ${major} doesn't work with ${LIBRARY}, which takes ${NEST_MAJORS.join(' or ')}`);
  return major;
}

/** Whether the workspace has said which version all its packages take, and it is one that works. */
function isInCatalog(project: Project, needed: NeededPackage): boolean {
  const range = project.catalogs.rangeOf(needed.name);
  return range !== undefined && fits(needed, range);
}

/**
 * Writes the packages that the parts need into package.json, where they aren't there yet.
 *
 * @returns whether there were any
 */
export function addMissingPackages(project: Project, parts: Parts, report: Report): boolean {
  const needed = packagesFor(parts, {
    node: process.versions.node,
    engines: project.manifest.engines?.node,
    nest: nestMajor(project, parts, report),
    isEsm: project.isEsm,
  });
  const missing = needed
    .filter(({ name }) => project.declared(name) === undefined)
    .map((each) => (isInCatalog(project, each) ? { ...each, range: 'catalog:' } : each));
  for (const each of needed.filter(({ name }) => project.declared(name) !== undefined)) {
    const version = project.versionOf(each.name)!;
    report.leave('package.json', `${each.name} ${version} is there`);
    if (!fits(each, version))
      report.warn(`${each.name} ${version} doesn't work with ${LIBRARY}, which takes ${majorsOf(each)}`);
  }
  if (missing.length === 0) return false;
  const path = '/package.json';
  project.tree.overwrite(path, addPackages(project.tree.read(path)!.toString(), missing));
  report.did('package.json', missing.map(({ name, range }) => `${name} ${range}`).join(', '));
  return true;
}
