import { Test } from '@nestjs/testing';
import { getMigrations } from 'better-auth/db/migration';
import { getDbPoolToken, PoolingModule, type DatabasePool } from 'nestjs-pooling';
import { createTestDatabase } from '#test/support/database.js';
import { AUTH, AuthModule, type Auth } from './better-auth.module.js';

it('better-auth on a DatabasePool makes its tables, signs up and in, serves fifty callers, and refuses what is wrong', async () => {
  await using database = await createTestDatabase();
  const testing = await Test.createTestingModule({
    imports: [
      PoolingModule.forRoot({
        database: { url: database.url, size: 4, maxOverflow: 0 },
        http: false,
        metrics: false,
      }),
      AuthModule,
    ],
  }).compile();
  const app = testing.createNestApplication({ logger: false });
  await app.init();
  const pool = app.get<DatabasePool>(getDbPoolToken());
  const auth = app.get<Auth>(AUTH);
  await (await getMigrations(auth.options)).runMigrations();

  const person = (number: number) => ({ email: `reader${number}@example.com`, password: 'correct horse battery' });
  await auth.api.signUpEmail({ body: { ...person(0), name: 'Reader' } });
  const signedIn = await Promise.all(Array.from({ length: 10 }, () => auth.api.signInEmail({ body: person(0) })));
  expect(new Set(signedIn.map(({ user }) => user.email))).toEqual(new Set(['reader0@example.com']));
  await expect(auth.api.signUpEmail({ body: { ...person(0), name: 'Again' } })).rejects.toMatchObject({
    status: 'UNPROCESSABLE_ENTITY',
  });
  await expect(auth.api.signInEmail({ body: { ...person(0), password: 'wrong' } })).rejects.toMatchObject({
    status: 'UNAUTHORIZED',
  });
  const { headers } = await auth.api.signInEmail({ body: person(0), returnHeaders: true });
  const cookie = headers.get('set-cookie')?.split(';')[0] ?? '';
  const sessions = await Promise.all(
    Array.from({ length: 50 }, () => auth.api.getSession({ headers: new Headers({ cookie }) })),
  );
  expect(sessions.map((session) => session?.user.email)).toEqual(Array(50).fill('reader0@example.com'));

  const { acquired, released, opened } = pool.statistics();
  expect(acquired - released).toBe(0);
  expect(opened).toBeLessThanOrEqual(4);
  await app.close();
  expect(pool.statistics().state).toBe('closed');
});
