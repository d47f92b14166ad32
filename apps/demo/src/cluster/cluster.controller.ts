import { ConflictException, Controller, Get, HttpCode, Inject, Param, Post, UseGuards } from '@nestjs/common';
import type { ClusterNode, ClusterRole, PostgresCluster } from 'nestjs-pooling/testing';
import { z } from 'zod';
import { ThisMachineGuard } from '../console/this-machine.guard.js';
import { ZodPipe } from '../http/zod.pipe.js';
import { CLUSTER } from './cluster.token.js';

const change = z.object({
  name: z.string(),
  action: z.enum(['kill', 'freeze', 'resume', 'promote', 'rejoin', 'delay', 'keep-up']),
});

type Action = z.infer<typeof change>['action'];

/** How far behind a standby is that is delayed: less than replicas may be by default. */
const DELAY_MS = 5_000;

/** What a server has to be for what is done to it. */
const DONE_TO: Readonly<Record<Action, readonly ClusterRole[]>> = {
  kill: ['primary', 'standby', 'frozen'],
  freeze: ['primary', 'standby'],
  resume: ['frozen'],
  promote: ['standby'],
  rejoin: ['primary', 'standby', 'stopped'],
  delay: ['standby'],
  'keep-up': ['standby'],
};

/** Breaks the shop's own cluster, and mends it, to watch what the logs, the metrics and the console say of it. */
@Controller('cluster')
@UseGuards(ThisMachineGuard)
export class ClusterController {
  /** One change after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(@Inject(CLUSTER) private readonly cluster: PostgresCluster) {}

  /** What each server is now. */
  @Get()
  async roles(): Promise<Record<string, ClusterRole>> {
    const roles = this.cluster.nodes.map(async (node) => [node.name, await node.role()] as const);
    return Object.fromEntries(await Promise.all(roles));
  }

  @Post(':name/:action')
  @HttpCode(200)
  change(@Param(new ZodPipe(change)) { name, action }: z.infer<typeof change>): Promise<Record<string, ClusterRole>> {
    const changed = this.#last.then(async () => {
      await this.#perform(name, action);
      return this.roles();
    });
    this.#last = changed.catch(() => undefined);
    return changed;
  }

  async #perform(name: string, action: Action): Promise<void> {
    const { cluster } = this;
    const node = cluster.nodes.find((each) => each.name === name);
    if (node === undefined) throw new ConflictException(`There is no server ${name}`);
    const role = await node.role();
    if (!DONE_TO[action].includes(role))
      throw new ConflictException(`${name} is ${describe(role)}: no ${action} of it`);
    if (action === 'rejoin' && node === cluster.primary) {
      throw new ConflictException(`${name} is the primary: promote another one first`);
    }
    await perform(action, node, cluster);
  }
}

function describe(role: ClusterRole): string {
  return role === 'primary' || role === 'standby' ? `a ${role}` : role;
}

function perform(action: Action, node: ClusterNode, cluster: PostgresCluster): Promise<void> {
  switch (action) {
    case 'kill':
      return node.kill();
    case 'freeze':
      return node.server.pause();
    case 'resume':
      return node.server.resume();
    case 'promote':
      return cluster.promote(node);
    case 'rejoin':
      return cluster.rejoin(node);
    case 'delay':
      return node.delayReplay(DELAY_MS);
    case 'keep-up':
      return node.delayReplay(0);
  }
}
