/** What every recipe of docs/postgres-clients.md has to do, against a database that the app's login uses. */
import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { expect } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { type UsageClient, UsageError, UsageLimitExceeded } from '../../types/pg.ts';
import { applyPlans } from '../support/plans.ts';

const page = readFileSync(fromRoot('docs/postgres-clients.md'), 'utf8');

/** The TypeScript of a chapter; the first one is that of the page's top. */
export function recipe(heading: string): string {
  const chapter = page.split(/^##? /m).find((text) => text.startsWith(heading)) ?? '';
  return chapter.match(/```ts\n(.*?)```/s)?.[1] ?? expect.unreachable(`no code below ${heading}`);
}

/** The login that was granted the roles and may write its own table; service_role may not. */
export async function prepare(owner: pg.Client, login: string): Promise<void> {
  await applyPlans(owner);
  await owner.query(`
    create role ${login} login password 'secret';
    grant service_role, authenticated to ${login};
    create table public.reports (owner text check (owner not like 'nobody%'));
    alter table public.reports enable row level security;
    revoke all on public.reports from service_role, authenticated, anon;
    grant insert on public.reports to ${login};
    create policy own on public.reports for insert to ${login} with check (true);`);
}

export interface Recipe {
  exportReport(userId: string): Promise<void>;
  usage: UsageClient;
}

const failure = async (call: PromiseLike<unknown>) =>
  call.then(
    (answer) => expect.unreachable(`it answered ${JSON.stringify(answer)}`),
    (error) => error,
  );

/** Work and use together or neither; five exports a month. */
export async function expectTransactions(
  { exportReport }: Pick<Recipe, 'exportReport'>,
  owner: pg.Client,
  name: string,
): Promise<void> {
  const written = async () =>
    (
      await owner.query(
        `select (select count(*) from public.reports where owner = $1)::integer as rows,
           (select used::integer from check_usage('export', 1, $1)) as used`,
        [name],
      )
    ).rows[0];
  for (let n = 1; n <= 5; n++) await exportReport(name);
  expect(await written()).toEqual({ rows: 5, used: 5 });
  expect(await failure(exportReport(name))).toBeInstanceOf(UsageLimitExceeded);
  expect(await written()).toEqual({ rows: 5, used: 5 });
  await failure(exportReport(`nobody ${name}`));
  const { rows } = await owner.query(`select used from check_usage('export', 1, $1)`, [
    `nobody ${name}`,
  ]);
  expect(rows).toEqual([{ used: '0' }]);
}

/** Answers of each kind, errors, a view, and work that can fail. */
export async function expectCalls(usage: UsageClient, name: string): Promise<void> {
  const subject = `calls of ${name}`;
  const metadata = { note: `it's "${name}" \\ $1 ? :a`, list: [1, 2.5, null] };
  const use = await usage.consumeUsage({ feature: 'export', amount: 2, subject, metadata });
  expect(use).toMatchObject({ allowed: true, subject, used: 2, limit: 5, retry_after: null });
  expect(new Date(use.resets_at as string).getTime()).toBeGreaterThan(Date.now());
  expect(await usage.setPlan({ subject, plan: 'pro' })).toBeUndefined();
  const items = [{ feature: 'export' }, { feature: 'ai_generation', amount: 2 ** 52 }];
  const batch = await usage.consumeUsageBatch({ items, subject });
  expect(batch.map(({ used, limit }) => [used, limit])).toEqual([
    [3, null],
    [2 ** 52, null],
  ]);
  expect(await usage.grantUsage({ feature: 'export', amount: 1, subject })).toMatch(/^[\da-f-]+$/);
  expect(await usage.verifyUsage({ subject })).toEqual([]);

  const { data } = await usage
    .from('usage_events')
    .select('used_change, metadata')
    .eq('subject', subject)
    .in('kind', ['consume', 'refund'])
    .gte('used_change', 2)
    .lt('used_change', 2 ** 52)
    .limit(10)
    .throwOnError();
  expect(data).toEqual([{ used_change: 2, metadata }]);

  const error = await failure(usage.consumeUsage({ feature: 'nothing', subject }));
  expect(error).toBeInstanceOf(UsageError);
  expect(error).toMatchObject({ code: 'QFEAT', status: 400, hint: expect.any(String) });
  expect(error.message).toContain('nothing');
  for (const [call, code] of [
    [() => usage.consumeUsage({ feature: 'export', subject, amount: 1.5 }), '22P02'],
    [() => usage.commitUsage({ reservation_id: crypto.randomUUID() }), 'QRSRV'],
    [() => usage.setPlan({ subject, plan: 'nothing' }), 'QPLAN'],
  ] as const) {
    expect(await failure(call())).toMatchObject({ name: 'UsageError', code, status: 400 });
  }

  const done = await usage.withUsage('kb_file', { subject, amount: 3 }, (work) => work.commit(2));
  expect(done.decision).toMatchObject({ amount: 2, used: 2, reserved: 0 });
}
