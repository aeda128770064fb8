/** What one statement reads: rows by the statistics of its transaction, buffers and nodes by explain. */
import type pg from 'pg';

/** Rows of our tables that the statement, and all that it calls, fetched. It is rolled back. */
export async function rowsRead(client: pg.ClientBase, statement: string, table = '%') {
  const count = async () => {
    const { rows } = await client.query<{ rows: string }>(
      `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) as rows
       from pg_stat_xact_user_tables where schemaname = 'quota' and relname like $1`,
      [table],
    );
    return Number(rows[0]?.rows);
  };
  await client.query('begin');
  try {
    const before = await count();
    const { rows } = await client.query(statement);
    return { rows: (await count()) - before, answer: rows };
  } finally {
    await client.query('rollback');
  }
}

interface PlanNode {
  'Node Type': string;
  'Index Name'?: string;
  'Actual Rows': number;
  'Actual Loops': number;
  'Rows Removed by Filter'?: number;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  Plans?: PlanNode[];
}

/** The nodes that ran, the top one first, and what they touched. */
export async function explained(client: pg.ClientBase, query: string) {
  const { rows } = await client.query(`explain (analyze, buffers, format json) ${query}`);
  const top = rows[0]['QUERY PLAN'][0].Plan as PlanNode;
  const nodes = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodes)];
  const ran = nodes(top).filter((node) => node['Actual Loops'] > 0);
  return {
    buffers: top['Shared Hit Blocks'] + top['Shared Read Blocks'],
    rows: ran
      .filter((node) => /Scan on|Scan$/.test(node['Node Type']) && !/CTE/.test(node['Node Type']))
      .map((node) => node['Actual Rows'] + (node['Rows Removed by Filter'] ?? 0))
      .reduce((sum, each) => sum + each, 0),
    indexes: ran.flatMap((node) => node['Index Name'] ?? []),
  };
}
