import type { Clock } from '../../core/clock.js';
import { FleetMember, type BudgetedPool, type FleetMemberOptions } from './fleet-member.js';
import { instanceId } from './published-name.js';

/** A budget as the options give it. */
export interface FleetBudget {
  readonly connections: number;
  readonly min: number;
  readonly checkMs: number;
}

/** Which fleet a pool belongs to, and its budget. */
export interface MembershipOptions {
  /** The server and the role. */
  readonly server: string;
  readonly fleet: string;
  readonly plain: string;
  readonly budget: FleetBudget;
  readonly clock: Clock;
  readonly random: () => number;
}

/** The members of this process by clock: tests have clocks of their own. */
const members = new WeakMap<Clock, Map<string, FleetMember>>();

function membersOf(clock: Clock): Map<string, FleetMember> {
  let ofClock = members.get(clock);
  if (ofClock === undefined) members.set(clock, (ofClock = new Map()));
  return ofClock;
}

function keyOf({ server, fleet }: MembershipOptions): string {
  return JSON.stringify([server, fleet]);
}

/** What is wrong with a budget: another pool of this process has another one for the same server. */
export function budgetProblems(options: MembershipOptions): string[] {
  const member = membersOf(options.clock).get(keyOf(options));
  if (member === undefined || member.deserted) return [];
  const given = member.options;
  return (['connections', 'min', 'checkMs'] as const)
    .filter((field) => given[field] !== options.budget[field])
    .map(
      (field) =>
        `budget.${field}: ${options.budget[field]} is not allowed; ${given[field]}, as another pool of this process ` +
        `to the same server has it, which shares the budget`,
    );
}

/** The member that stands for this process: all its pools to one server share its part of the budget. */
export function memberOf(options: MembershipOptions): FleetMember {
  const ofClock = membersOf(options.clock);
  const key = keyOf(options);
  let member = ofClock.get(key);
  if (member === undefined || member.deserted) {
    const { fleet, plain, budget, clock, random } = options;
    const settings: FleetMemberOptions = { ...budget, fleet, plain, id: instanceId(), clock, random };
    ofClock.set(key, (member = new FleetMember(settings)));
  }
  return member;
}

/** A pool is closed. */
export function leaveFleet(options: MembershipOptions, member: FleetMember, pool: BudgetedPool): void {
  member.leave(pool);
  const ofClock = membersOf(options.clock);
  if (member.deserted && ofClock.get(keyOf(options)) === member) ofClock.delete(keyOf(options));
}
