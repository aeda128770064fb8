/**
 * How many rows a statement reads, also inside functions, where explain does not look: what Postgres
 * counts of its tables between two looks within one transaction. Index-only scans, which it does not
 * count as rows, are off.
 */
import type pg from 'pg';

export interface Reading {
  /** Rows read of quota's tables. */
  rows: number;
  /** The same, by table; those with none are left out. */
  tables: Record<string, number>;
  /** Calls of quota's functions by name. */
  calls: Record<string, number>;
  /** What the statement answered. */
  answer: Record<string, unknown>[];
}

/**
 * Runs the statement as that user (null: the server) in a transaction that is rolled back. The session
 * must be a superuser's.
 */
export async function rowsRead(
  client: pg.ClientBase,
  user: string | null,
  sql: string,
): Promise<Reading> {
  const look = async () => {
    await client.query('reset role');
    const tables = await client.query(
      `select relname as name, (seq_tup_read + coalesce(idx_tup_fetch, 0))::integer as count
       from pg_stat_xact_user_tables where schemaname = 'quota'`,
    );
    const functions = await client.query(
      `select funcname as name, calls::integer as count from pg_stat_xact_user_functions where schemaname = 'quota'`,
    );
    return { tables: countsOf(tables.rows), calls: countsOf(functions.rows) };
  };
  await client.query('begin');
  try {
    await client.query(`set local track_functions = 'all'; set local enable_indexonlyscan = off`);
    const before = await look();
    await client.query(
      `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)`,
      user === null ? ['service_role', ''] : ['authenticated', JSON.stringify({ sub: user })],
    );
    const { rows: answer } = await client.query(sql);
    const after = await look();
    const tables = differenceOf(before.tables, after.tables);
    return {
      rows: Object.values(tables).reduce((sum, rows) => sum + rows, 0),
      tables,
      calls: differenceOf(before.calls, after.calls),
      answer,
    };
  } finally {
    await client.query('rollback');
  }
}

type Counts = Map<string, number>;

const countsOf = (rows: { name: string; count: number }[]): Counts =>
  new Map(rows.map((row) => [row.name, row.count]));

function differenceOf(before: Counts, after: Counts): Record<string, number> {
  const grown = [...after].map(([name, count]) => [name, count - (before.get(name) ?? 0)] as const);
  return Object.fromEntries(grown.filter(([, count]) => count > 0));
}
