import { readName, type Publication } from './published-name.js';

/** A process of the fleet, as the server shows it. */
export interface SeenProcess {
  readonly id: string;
  /** Connections that the server counts. */
  readonly connections: number;
  /** What it published last; `undefined`: nothing yet. */
  readonly publication: Publication | undefined;
}

/** The fleet, as one look has found it. */
export interface FleetView {
  /** In order of their ids. */
  readonly processes: readonly SeenProcess[];
  /** Connections of the application's name without an id: of processes that have no budget. */
  readonly unmanaged: number;
}

/** How many connections have one name. */
export interface NameCount {
  readonly name: string;
  readonly connections: number;
}

/**
 * Puts together what the names say. Of several publications of one process the last one counts.
 *
 * @param plain the name of the application's connections that have no budget.
 */
export function viewOf(rows: Iterable<NameCount>, fleet: string, plain: string): FleetView {
  const processes = new Map<string, SeenProcess>();
  let unmanaged = 0;
  for (const { name, connections } of rows) {
    if (name === plain) unmanaged += connections;
    const seen = readName(fleet, name);
    if (seen === undefined) continue;
    const known = processes.get(seen.id);
    processes.set(seen.id, {
      id: seen.id,
      connections: connections + (known?.connections ?? 0),
      publication: newer(seen.publication, known?.publication),
    });
  }
  const inOrder = [...processes.values()].sort((one, other) => (one.id < other.id ? -1 : 1));
  return { processes: inOrder, unmanaged };
}

function newer(one: Publication | undefined, other: Publication | undefined): Publication | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return one.look > other.look ? one : other;
}
