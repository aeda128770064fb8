/** pgquota plans: judges a plan document, shows what it changes, and changes it. */
import { DatabaseError } from 'pg';
import { findDatabaseUrl, placeOf, withDatabase } from './database.ts';
import { readPlanDocument } from './plan-document.ts';
import { Problem } from './problem.ts';

interface Change {
  action: string;
  kind: string;
  id: string;
  detail: string | null;
}

export async function plans(
  file: string,
  options: { dryRun: boolean; databaseUrl: string | undefined },
): Promise<void> {
  const document = readPlanDocument(file);
  const url = findDatabaseUrl(options.databaseUrl);
  const changes = await apply(url, document, options.dryRun);
  console.log(`${file} → ${placeOf(url)}`);
  if (changes.length) console.log(`\n${formatChanges(changes).join('\n')}\n`);
  const count = `${changes.length} ${changes.length === 1 ? 'change' : 'changes'}`;
  if (changes.length === 0) console.log('Nothing to change.');
  else if (options.dryRun) console.log(`${count} to make; nothing was changed (dry run).`);
  else console.log(`${count} made.`);
}

async function apply(url: string, document: string, dryRun: boolean): Promise<Change[]> {
  return withDatabase(url, async (client) => {
    const installed = await client.query(
      `select from pg_catalog.pg_proc where oid = to_regprocedure('public.apply_plans(jsonb, boolean)')`,
    );
    if (!installed.rowCount) {
      throw new Problem(
        `pgquota is not installed in ${placeOf(url)}.`,
        'Apply its migrations first; npx pgquota init writes them.',
      );
    }
    try {
      const { rows } = await client.query<Change>(
        'select action, kind, id, detail from public.apply_plans($1::jsonb, $2)',
        [document, dryRun],
      );
      return rows;
    } catch (error) {
      throw explain(error);
    }
  });
}

function explain(error: unknown): unknown {
  if (!(error instanceof DatabaseError)) return error;
  switch (error.code) {
    case 'QPLAN':
      return new Problem(error.message, error.hint);
    case '42501':
      return new Problem(
        `This database user may not apply plans: ${error.message}.`,
        'Connect as the owner of schema quota (postgres on Supabase) or as service_role.',
      );
    case '55P03':
      return new Problem('Somebody else holds the catalogue; nothing was changed.', 'Try again.');
    default:
      return error;
  }
}

const SIGNS: Record<string, string> = { add: '+', change: '~', remove: '-' };

/** `+ limit  free/export/month  amount: 5`, in columns. */
export function formatChanges(changes: Change[]): string[] {
  const width = (key: 'kind' | 'id') => Math.max(...changes.map((change) => change[key].length));
  const [kinds, ids] = [width('kind'), width('id')];
  return changes.map(({ action, kind, id, detail }) =>
    `  ${SIGNS[action] ?? action} ${kind.padEnd(kinds)}  ${id.padEnd(ids)}  ${detail ?? ''}`.trimEnd(),
  );
}
