import { Global, Module } from '@nestjs/common';
import { betterAuth } from 'better-auth';
import { getDbPoolToken, type DatabasePool } from 'nestjs-pooling';

export const AUTH = Symbol('better-auth');

const createAuth = (pool: DatabasePool) =>
  betterAuth({
    database: pool,
    secret: process.env.AUTH_SECRET ?? 'a secret of at least thirty-two characters',
    baseURL: process.env.AUTH_URL ?? 'http://localhost:3000',
    emailAndPassword: { enabled: true },
  });
export type Auth = ReturnType<typeof createAuth>;

@Global()
@Module({
  providers: [{ provide: AUTH, inject: [getDbPoolToken()], useFactory: createAuth }],
  exports: [AUTH],
})
export class AuthModule {}
