/** Lists of subjects, a page at a time. A page names the place where the next begins, so no page is far. */
import { fromCursor, type Query, toCursor } from './database.ts';
import { Bad } from './refusal.ts';
import type { NearRow, Page, SubjectRow } from './shapes.ts';

export const PAGE = 50;

const NEAR_BY: Record<string, { column: string; order: 'asc' | 'desc'; type: string }> = {
  percent: { column: 'percent_used', order: 'desc', type: 'bigint' },
  used: { column: 'used', order: 'desc', type: 'bigint' },
  subject: { column: 'subject', order: 'asc', type: 'text' },
  resets: { column: `coalesce(resets_at, 'infinity')`, order: 'asc', type: 'timestamptz' },
};

const STATUSES = ['warning', 'at_limit', 'over_limit'];

/**
 * Who is near a limit or over it, in any order: by the index of those who are, whatever number of others
 * there is. A limit that nobody could ever have come near of is not in it.
 */
export async function readNear(
  query: Query,
  asked: {
    sort?: string;
    status?: string;
    feature?: string;
    prefix?: string;
    after?: string;
    size?: string;
  },
): Promise<Page<NearRow>> {
  const size = Math.min(PAGE, Math.max(1, Math.trunc(Number(asked.size)) || PAGE));
  const by = NEAR_BY[asked.sort || 'percent'];
  if (!by) throw new Bad(`there is no order by ${asked.sort}`);
  const statuses = asked.status ? [asked.status] : STATUSES;
  if (!statuses.every((status) => STATUSES.includes(status))) {
    throw new Bad(`there is no status ${asked.status}`);
  }
  const values: unknown[] = [];
  const value = (one: unknown) => `$${values.push(one)}`;
  // As words of the statement: with a parameter the planner could not leave out those that are well.
  const where = [`status in (${statuses.map((status) => `'${status}'`).join(', ')})`];
  if (asked.feature) where.push(`feature = ${value(asked.feature)}`);
  if (asked.prefix) where.push(...beginsWith('subject', asked.prefix, value));
  if (asked.after) {
    const [at, ...rest] = fromCursor(asked.after, 4);
    const place = `${value(at)}::${by.type}`;
    const tie = `(subject, feature, period) > (${rest.map((one) => value(one)).join(', ')})`;
    const sign = by.order === 'asc' ? '>' : '<';
    where.push(`(${by.column} ${sign} ${place} or ${by.column} = ${place} and ${tie})`);
  }
  const rows = await query<NearRow & { place: unknown }>(
    `select subject, feature, period, used, reserved, "limit", remaining, percent_used, resets_at, status,
       (${by.column})::text as place
     from public.usage_overview
     where ${where.join(' and ')}
     order by ${by.column} ${by.order}, subject, feature, period
     limit ${size + 1}`,
    values,
  );
  return paged(
    rows,
    ({ place, subject, feature, period }) => [place, subject, feature, period],
    size,
  );
}

/** One after the other: of a list the planner, which has no statistics, reads everything. */
export const FULLEST = `
  select o.subject, o.feature, o.period, o.used, o."limit", o.percent_used, o.status
  from unnest($1::text[]) as s (id)
  cross join lateral (
    select * from public.usage_overview
    where subject = s.id
    order by percent_used desc nulls last, used desc, feature, period
    limit 1
  ) as o`;

/** Everybody, by name: the primary key from a place on. Then the fullest limit of those on the page. */
export async function readSubjects(
  query: Query,
  asked: { prefix?: string; plan?: string; after?: string },
): Promise<Page<SubjectRow>> {
  const values: unknown[] = [];
  const value = (one: unknown) => `$${values.push(one)}`;
  const where = ['true'];
  if (asked.prefix) where.push(...beginsWith('s.subject_id', asked.prefix, value));
  if (asked.plan) where.push(`s.plan_id = ${value(asked.plan)}`);
  if (asked.after) where.push(`s.subject_id > ${value(fromCursor(asked.after, 1)[0])}`);
  const subjects = await query(
    `select s.subject_id as subject, s.parent_id as parent, s.plan_ends_at,
       coalesce(
         case when s.plan_ends_at <= quota.clock() then null else s.plan_id end,
         case when s.parent_id is null then (select d.plan_id from quota.plans as d where d.is_default) end
       ) as plan
     from quota.subjects as s
     where ${where.join(' and ')}
     order by s.subject_id
     limit ${PAGE + 1}`,
    values,
  );
  const fullest = await query(FULLEST, [subjects.map(({ subject }) => subject)]);
  const of = new Map(fullest.map((row) => [row.subject, row]));
  const nothing = {
    feature: null,
    period: null,
    used: null,
    limit: null,
    percent_used: null,
    status: null,
  };
  return paged(
    subjects.map((row) => ({ ...row, ...(of.get(row.subject) ?? nothing) })),
    ({ subject }) => [subject],
  );
}

/** A range of an index by bytes, which is how ids are compared. */
function beginsWith(column: string, prefix: string, value: (one: unknown) => string): string[] {
  return [`${column} >= ${value(prefix)}`, `${column} < ${value(`${prefix}\u{10FFFF}`)}`];
}

export function paged<Row>(rows: Row[], placeOf: (row: Row) => unknown[], size = PAGE): Page<Row> {
  const shown = rows.slice(0, size);
  const last = shown.at(-1);
  return { rows: shown, next: rows.length > size && last ? toCursor(placeOf(last)) : null };
}
