import { fairShares } from './fair-shares.js';
import type { FleetView, SeenProcess } from './fleet-view.js';
import type { Publication } from './published-name.js';

/** What all processes of a fleet agree on. */
export interface FleetTerms {
  /** The most connections of all processes together. */
  readonly connections: number;
  /** Connections that each process may have without a claim. */
  readonly min: number;
}

/** The state of the process that looks. */
export interface OwnStanding {
  readonly id: string;
  /** The most connections it may have now. */
  readonly ceiling: number;
  /** Connections it has, those being opened included and those being closed not. */
  readonly used: number;
  /** Connections it would use if it could. */
  readonly wanted: number;
  /** The most connections its options allow. */
  readonly most: number;
  /** What it published last; `undefined`: nothing, or it is lost. */
  readonly published: Publication | undefined;
}

/** The outcome of a look. */
export interface Verdict {
  /** Whether the server shows this process under its name. */
  readonly visible: boolean;
  /** Its fair share, within its own options. */
  readonly share: number;
  /** The most connections it may have from now on. */
  readonly ceiling: number;
  /** What to publish: the ceiling, and what is claimed beyond it. */
  readonly held: number;
}

/**
 * Decides what a process may have, by what all have published.
 *
 * A process that wants more publishes a claim, and uses as much of it as fits at its next look. So of two that claim the same
 * room, the one that published last sees the other's claim. Therefore all ceilings together never exceed the budget. The
 * proof: of all publications on which the present ceilings rest, take the last one, of process P. P looked again after it. By
 * then every other publication covered the present ceiling of its process, and P took only what they left.
 */
export function decide(view: FleetView, own: OwnStanding, terms: FleetTerms): Verdict {
  const { processes } = view;
  const budget = Math.max(0, terms.connections - view.unmanaged);
  const reserved: number[] = [];
  const wants: number[] = [];
  let at = -1;
  let others = 0;
  for (const [index, process] of processes.entries()) {
    const { id, publication } = process;
    if (id === own.id) {
      at = index;
      reserved.push(Math.max(own.ceiling, own.used));
      wants.push(Math.max(terms.min, own.wanted));
    } else {
      const held = reservedBy(process, terms.min);
      others += held;
      reserved.push(held);
      wants.push(Math.max(terms.min, publication?.wanted ?? held));
    }
  }
  const shares = fairShares(wants, budget);
  const share = Math.min(own.most, Math.max(1, shares[at] ?? terms.min));
  const claimed = confirmedClaim(processes[at], own.published);
  const ceiling = Math.max(1, Math.min(share, Math.max(own.ceiling, Math.min(claimed, budget - others))));
  const standing = Math.max(ceiling, own.used);
  const missing = share - standing;
  if (at < 0 || missing <= 0) return { visible: at >= 0, share, ceiling, held: standing };
  reserved[at] = standing;
  // Of a share that its own options cut short it needs no more.
  shares[at] = share;
  const room = Math.max(0, budget - others - standing);
  return { visible: true, share, ceiling, held: standing + allotted(at, shares, reserved, room, terms.min) };
}

/** Connections that a process has, or may open at any moment. */
export function reservedBy({ connections, publication }: SeenProcess, min: number): number {
  return Math.max(connections, publication?.held ?? min);
}

/** The claim of the process itself, where the server shows it; otherwise 0. */
function confirmedClaim(seen: SeenProcess | undefined, published: Publication | undefined): number {
  return published !== undefined && seen?.publication?.look === published.look ? published.held : 0;
}

/**
 * The part of the room that one process may claim: first all are served up to `min`, then in order of their ids. A claim
 * doesn't change that order, so that processes that look one after the other need no second round.
 */
function allotted(
  at: number,
  shares: readonly number[],
  reserved: readonly number[],
  room: number,
  min: number,
): number {
  let left = room;
  let own = 0;
  const serve = (index: number, wanted: number): void => {
    const given = Math.min(wanted, left);
    left -= given;
    if (index === at) own += given;
  };
  const missing = (index: number): number => Math.max(0, (shares[index] as number) - (reserved[index] as number));
  const urgent = (index: number): number => Math.min(missing(index), Math.max(0, min - (reserved[index] as number)));
  for (let index = 0; index < shares.length; index++) serve(index, urgent(index));
  for (let index = 0; index < shares.length && left > 0; index++) serve(index, missing(index) - urgent(index));
  return own;
}
