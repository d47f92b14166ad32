import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { joinPath, type Tree, type TreeFolder } from './tree.js';

class Folder implements TreeFolder {
  readonly subdirs: readonly string[];
  readonly subfiles: readonly string[];

  constructor(
    private readonly root: string,
    readonly path: string,
    readonly parent: TreeFolder | null,
  ) {
    const entries = existsSync(join(root, path)) ? readdirSync(join(root, path), { withFileTypes: true }) : [];
    this.subdirs = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    this.subfiles = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  }

  dir(name: string): TreeFolder {
    return new Folder(this.root, joinPath(this.path, name), this);
  }
}

/** A folder outside the project, to be read. */
export class FolderTree implements Tree {
  constructor(private readonly root: string) {}

  read(path: string): string | null {
    return this.exists(path) ? readFileSync(join(this.root, path), 'utf8') : null;
  }

  exists(path: string): boolean {
    return statSync(join(this.root, path), { throwIfNoEntry: false })?.isFile() === true;
  }

  create(path: string): never {
    throw new Error(`${join(this.root, path)} is outside the project`);
  }

  overwrite(path: string): never {
    return this.create(path);
  }

  getDir(path: string): TreeFolder {
    return new Folder(this.root, path, null);
  }
}
