/**
 * The suites of catalogue and views again, under the other default privileges that a host may have:
 * pgtap.test.ts runs them under the open ones.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { migrate } from '../../scripts/local/migrate.ts';
import { createDatabase, type TestDatabase } from '../support/database.ts';
import { grantLikeSupabase } from '../support/privileges.ts';
import { findSuites, runSuite } from '../support/suites.ts';

const suites = findSuites().filter(({ name }) => /^(catalog|views)\//.test(name));

describe.each([
  { host: 'a new Supabase project', profile: 'closed' as const },
  { host: 'plain Postgres', profile: undefined },
])('on $host', ({ profile }) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await createDatabase({ from: 'empty' });
    if (profile) await withClient(database.url, (client) => grantLikeSupabase(client, profile));
    await migrate(database.url);
  });

  afterAll(() => database.drop());

  test.each(suites)('$name holds', async (suite) => {
    const tap = await runSuite(suite, database);
    const planned = /^1\.\.(\d+)$/m.exec(tap)?.[1];
    expect(tap).not.toMatch(/^(not ok|Bail out!)/m);
    expect(tap.match(/^ok /gm) ?? []).toHaveLength(Number(planned));
  });
});
