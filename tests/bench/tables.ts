/** What a table that limits itself costs beside the same table without a limit. */
import type pg from 'pg';
import type { Knobs } from './knobs.ts';
import type { Contender, Run } from './rounds.ts';

const SUBJECT = '00000000-0000-4000-8000-00000000000a';

const insert = (rows: number) => (table: string) =>
  `insert into bench.${table} (user_id, name)
   select $1, 'file ' || n from generate_series(1, ${rows}) as n`;
const rename = (table: string) =>
  `update bench.${table} set name = 'renamed' where user_id = $1 and id = 1`;

/** Pairs: without the limit, and with it. */
export function tablePairs(client: pg.ClientBase, knobs: Knobs): Contender[][] {
  const pair = (name: string, text: (table: string) => string): Contender[] => [
    { name, run: () => repeat(client, text('files'), knobs) },
    { name: `${name}, limited`, run: () => repeat(client, text('limited_files'), knobs) },
  ];
  return [
    pair(`insert of ${knobs.rows.toLocaleString('en')} rows`, insert(knobs.rows)),
    pair('insert of one row', insert(1)),
    pair('update that counts nothing', rename),
  ];
}

async function repeat(
  client: pg.ClientBase,
  text: string,
  { seconds, calls }: Pick<Knobs, 'seconds' | 'calls'>,
): Promise<Run> {
  const latencies: number[] = [];
  const start = performance.now();
  const enough = () =>
    calls ? latencies.length >= calls : performance.now() > start + seconds * 1000;
  while (!enough()) {
    const began = performance.now();
    await client.query(text, [SUBJECT]);
    latencies.push(performance.now() - began);
  }
  return { seconds: (performance.now() - start) / 1000, latencies };
}

export async function prepareTables(client: pg.ClientBase): Promise<void> {
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

/** Seconds until a table of so many rows, five a subject and none ever seen, has its limit. */
export async function secondsToLimit(client: pg.ClientBase, rows: number): Promise<number> {
  await client.query('create table bench.grown (user_id text not null, name text not null)');
  await client.query(
    `insert into bench.grown
     select 'grown-' || n % $2::int, 'file ' || n from generate_series(1, $1::int) as n`,
    [rows, Math.ceil(rows / 5)],
  );
  const start = performance.now();
  await client.query(`select quota.limit_table('bench.grown', 'kb_file', 'user_id')`);
  return (performance.now() - start) / 1000;
}
