import type { IncomingMessage } from 'node:http';
import { BlockList } from 'node:net';
import type { CanActivate, ExecutionContext } from '@nestjs/common';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Lets in who sits at this machine: the console shows SQL, and may end somebody's transaction. */
export class ThisMachineGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { remoteAddress = '' } = context.switchToHttp().getRequest<IncomingMessage>().socket;
    return loopback.check(remoteAddress, remoteAddress.includes(':') ? 'ipv6' : 'ipv4');
  }
}
