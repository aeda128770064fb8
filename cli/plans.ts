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
  options: { dryRun: boolean; impact: boolean; databaseUrl: string | undefined },
): Promise<void> {
  const document = readPlanDocument(file);
  const url = findDatabaseUrl(options.databaseUrl);
  const { changes, impacts } = await apply(url, document, options);
  console.log(`${file} → ${placeOf(url)}`);
  if (changes.length) console.log(`\n${formatChanges(changes).join('\n')}\n`);
  const count = `${changes.length} ${changes.length === 1 ? 'change' : 'changes'}`;
  if (changes.length === 0) console.log('Nothing to change.');
  else if (options.dryRun) console.log(`${count} to make; nothing was changed (dry run).`);
  else console.log(`${count} made.`);
  if (options.impact) console.log(`\n${formatImpacts(impacts).join('\n')}`);
}

async function apply(
  url: string,
  document: string,
  { dryRun, impact }: { dryRun: boolean; impact: boolean },
): Promise<{ changes: Change[]; impacts: Impact[] }> {
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
      const { rows: changes } = await client.query<Change>(
        'select action, kind, id, detail from public.apply_plans($1::jsonb, $2)',
        [document, dryRun],
      );
      if (!impact) return { changes, impacts: [] };
      const { rows: impacts } = await client.query<Impact>(
        `select subject, former_plan, plan, to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI') as at,
           at > quota.clock() as is_later, feature, period, used, "limit", over
         from quota.plan_impact($1::jsonb)`,
        [document],
      );
      return { changes, impacts };
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

/** As pg gives them: whole numbers as text. */
interface Impact {
  subject: string;
  former_plan: string | null;
  plan: string;
  at: string;
  is_later: boolean;
  feature: string;
  period: string;
  used: string;
  limit: string;
  over: string;
}

const MOST_SHOWN = 100;

/** Who has used more than a new limit allows, the furthest over first. */
export function formatImpacts(impacts: Impact[]): string[] {
  const subjects = new Set(impacts.map(({ subject }) => subject)).size;
  if (subjects === 0) return ['Nobody has used more than a new limit allows.'];
  const rows = impacts
    .slice(0, MOST_SHOWN)
    .map((impact) => [
      impact.subject,
      impact.plan === impact.former_plan ? impact.plan : `${impact.former_plan} → ${impact.plan}`,
      impact.is_later ? `${impact.at} UTC` : 'at once',
      `${impact.feature}/${impact.period}`,
      `${impact.used} of ${impact.limit}`,
      `${impact.over} over`,
    ]);
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)));
  const lines = rows.map((row) =>
    `  ${row.map((text, at) => text.padEnd(widths?.[at] ?? 0)).join('  ')}`.trimEnd(),
  );
  const more = impacts.length - rows.length;
  const who = subjects === 1 ? '1 subject has' : `${subjects} subjects have`;
  return [
    `${who} used more in a running period than a new limit allows:`,
    '',
    ...lines,
    ...(more > 0
      ? [`  … and ${more} more; select * from quota.plan_impact('…') has them all.`]
      : []),
  ];
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
