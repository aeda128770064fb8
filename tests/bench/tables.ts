/** What a table that limits itself costs beside the same table without a limit. */
import type pg from 'pg';

export interface Statement {
  name: string;
  /** With $1, the subject, and for each client its own. */
  text: string;
}

const INSERT = (table: string, rows: number) =>
  `insert into bench.${table} (user_id, name)
   select $1, 'file ' || n from generate_series(1, ${rows}) as n`;
const RENAME = (table: string) =>
  `update bench.${table} set name = 'renamed' where user_id = $1 and id = 1`;

/** Pairs: without the limit, and with it. */
export const statements: Statement[][] = [
  ['insert of 10,000 rows', (table: string) => INSERT(table, 10_000)] as const,
  ['insert of one row', (table: string) => INSERT(table, 1)] as const,
  ['update that counts nothing', RENAME] as const,
].map(([name, text]) => [
  { name, text: text('files') },
  { name: `${name}, limited`, text: text('limited_files') },
]);

export async function prepareTables(client: pg.ClientBase): Promise<void> {
  await client.query(`select public.apply_plans($1)`, [
    JSON.stringify({
      features: { ai_generation: {}, kb_file: { kind: 'gauge' } },
      plans: {
        free: {
          default: true,
          limits: { ai_generation: { month: 1_000_000_000 }, kb_file: { lifetime: 1_000_000_000 } },
        },
      },
    }),
  ]);
  for (const table of ['files', 'limited_files']) {
    await client.query(`
      create table bench.${table} (
        id bigint generated always as identity primary key,
        user_id uuid not null,
        name text not null,
        created_at timestamptz not null default now()
      );
      create index on bench.${table} (user_id)`);
  }
  await client.query(`select quota.limit_table('bench.limited_files', 'kb_file', 'user_id')`);
}

/** Milliseconds of a statement, the mean of as many as fit into these seconds. */
export async function millisecondsOf(
  client: pg.ClientBase,
  { name, text }: Statement,
  seconds: number,
): Promise<number> {
  const start = performance.now();
  const end = start + seconds * 1000;
  let calls = 0;
  while (performance.now() < end) {
    await client.query({ name, text, values: ['00000000-0000-4000-8000-00000000000a'] });
    calls++;
  }
  return (performance.now() - start) / calls;
}

/** Seconds until a table of 100,000 rows of 20,000 subjects, none of them ever seen, has its limit. */
export async function secondsToLimit(client: pg.ClientBase): Promise<number> {
  await client.query(`
    create table bench.grown (user_id text not null, name text not null);
    insert into bench.grown
      select 'grown-' || n % 20000, 'file ' || n from generate_series(1, 100000) as n`);
  const start = performance.now();
  await client.query(`select quota.limit_table('bench.grown', 'kb_file', 'user_id')`);
  return (performance.now() - start) / 1000;
}
