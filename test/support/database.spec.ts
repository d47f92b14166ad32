import { createTestDatabase } from './database.js';

describe('createTestDatabase', () => {
  it('gives every caller an empty database, and removes it with the connections to it', async () => {
    const [first, second] = [await createTestDatabase(), await createTestDatabase()];
    await first.query('CREATE TABLE mine AS SELECT 1 AS one');
    await expect(second.query('SELECT * FROM mine')).rejects.toMatchObject({ code: '42P01' });
    await first.drop();
    await expect(first.query('SELECT 1')).rejects.toMatchObject({ code: '3D000' });
    await second.drop();
  });
});
