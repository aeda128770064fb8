/**
 * The plan document: as the catalogue holds it, judged as `npx pgquota plans` judges it, compared, tried and
 * applied by the database.
 */

import { type ParseError, parseTree, printParseErrorCode } from 'jsonc-parser';
import pg from 'pg';
import { findFaults, nearest, shown, splitWords } from '../../cli/plan-document.ts';
import type { Database, Query } from './database.ts';
import { refusalOf } from './refusal.ts';
import type { Change, Fault, Impact, Judgement } from './shapes.ts';

/** What is as it is by default is left out, as a person would. */
export async function readDocument(query: Query): Promise<{ text: string; unsaid: Change[] }> {
  const features = await query(
    `select f.feature_id as id, f.name, f.unit, f.kind, f.server_only, f.hidden, f.alerts,
       (
         select jsonb_object_agg(
           c.cost_id,
           case when c.per = 1 then to_jsonb(c.units) else to_jsonb(c.units || '/' || c.per) end
         )
         from quota.feature_costs as c
         where c.feature_id = f.feature_id
       ) as costs
     from quota.features as f order by f.feature_id`,
  );
  const plans = await query(
    `select plan_id as id, name, is_default, upgrade_url, hidden, is_retired, successor_id, moves,
       moves_from
     from quota.plans as p order by not is_default, is_retired, plan_id`,
  );
  const limits = await query(
    `select plan_id, feature_id, period, amount, rollover, mode, ceiling, grace::text as grace
     from quota.plan_limits order by plan_id, feature_id, quota.period_rank(period)`,
  );
  const caps = await query(
    `select plan_id, feature_id, period, amount
     from quota.member_limits order by plan_id, feature_id, quota.period_rank(period)`,
  );
  const values = await query(
    'select plan_id, feature_id, value from quota.plan_values order by plan_id, feature_id',
  );
  const document = {
    $schema: 'https://unpkg.com/pgquota/schema/plans.schema.json',
    features: Object.fromEntries(
      features.map((f) => [
        f.id,
        said({
          name: f.name === f.id ? undefined : f.name,
          unit: f.unit === 'unit' ? undefined : f.unit,
          kind: f.kind === 'metered' ? undefined : f.kind,
          server_only: f.server_only || undefined,
          hidden: f.hidden || undefined,
          alerts: String(f.alerts) === '80,100' ? undefined : f.alerts.map(Number),
          costs: f.costs ?? undefined,
        }),
      ]),
    ),
    plans: Object.fromEntries(
      plans.map((p) => {
        const own = limits.filter(({ plan_id }) => plan_id === p.id);
        const members = caps.filter(({ plan_id }) => plan_id === p.id);
        const has = values.filter(({ plan_id }) => plan_id === p.id);
        return [
          p.id,
          said({
            name: p.name === p.id ? undefined : p.name,
            default: p.is_default || undefined,
            upgrade_url: p.upgrade_url ?? undefined,
            hidden: p.hidden || undefined,
            retired: p.is_retired || undefined,
            successor: p.successor_id ?? undefined,
            moves: p.moves === 'never' ? undefined : p.moves === 'instant' ? p.moves_from : p.moves,
            limits: byFeature(own, limitOf),
            per_member: members.length ? byFeature(members, ({ amount }) => amount) : undefined,
            values: has.length
              ? Object.fromEntries(has.map(({ feature_id, value }) => [feature_id, value]))
              : undefined,
          }),
        ];
      }),
    ),
  };
  const text = `${JSON.stringify(document, null, 2).replaceAll(SHORT, (found) =>
    found.replaceAll(/\s*\n\s*/g, ' '),
  )}\n`;
  return { text, unsaid: await unsaidBy(query, text) };
}

/** What the document above leaves out, if anything: it must change nothing. Who may not ask is not told. */
async function unsaidBy(query: Query, text: string): Promise<Change[]> {
  await query('savepoint document');
  try {
    return await changesOf(query, text);
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== '42501') throw error;
    await query('rollback to savepoint document');
    return [];
  }
}

/** An object without objects in it stands on one line, if it is short. */
const SHORT = /\{[^{}]{1,90}\}/g;

const said = <T extends object>(all: T) =>
  Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));

/** As the document nests them: feature, period, what is allowed. */
const byFeature = <Row extends { feature_id: string; period: string }>(
  rows: Row[],
  said: (row: Row) => unknown,
) =>
  Object.fromEntries(
    [...new Set(rows.map(({ feature_id }) => feature_id))].map((feature) => [
      feature,
      Object.fromEntries(
        rows
          .filter(({ feature_id }) => feature_id === feature)
          .map((row) => [row.period, said(row)]),
      ),
    ]),
  );

interface StoredLimit {
  amount: number | null;
  rollover: number | null;
  mode: string;
  ceiling: number | null;
  grace: string | null;
}

function limitOf({ amount, rollover, mode, ceiling, grace }: StoredLimit) {
  const more = said({
    rollover: rollover ?? undefined,
    mode: mode === 'hard' ? undefined : mode,
    ceiling: ceiling ?? undefined,
    grace: grace ?? undefined,
  });
  return Object.keys(more).length ? { limit: amount, ...more } : amount;
}

const changesOf = (query: Query, text: string) =>
  query<Change>('select action, kind, id, detail from public.apply_plans($1::jsonb, true)', [text]);

/** Faults at their places first; without any, what the database says of it, and what it would change. */
export async function judge(database: Database, text: string): Promise<Judgement> {
  const faults = faultsOf(text);
  if (faults.length) return { faults, changes: [], refusal: null };
  try {
    return {
      faults: [],
      changes: await database.read((query) => changesOf(query, text)),
      refusal: null,
    };
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error;
    const { refusal } = refusalOf(error);
    return { faults: placed(text, refusal.message), changes: [], refusal };
  }
}

export function faultsOf(text: string): Fault[] {
  const errors: ParseError[] = [];
  const tree = parseTree(text, errors, { disallowComments: true });
  const [first] = errors;
  if (first || !tree) {
    const from = first?.offset ?? 0;
    const what = first ? splitWords(printParseErrorCode(first.error)) : 'it is empty';
    return [{ message: `not JSON: ${what}`, from, to: from + (first?.length ?? 0) }];
  }
  return findFaults(tree).map(({ path, found, expected }) => {
    const node = nearest(tree, path);
    return {
      message: `${path.join('.') || 'top level'}: found ${shown(found)}, expected ${expected}`,
      from: node.offset,
      to: node.offset + (node.type === 'object' ? 1 : node.length),
    };
  });
}

/** "plan document, plans.free.limits: found …": the database names places in the same way. */
function placed(text: string, message: string): Fault[] {
  const [, place] = /^plan document, ([^:]+):/.exec(message) ?? [];
  const tree = place ? parseTree(text) : undefined;
  const node = tree && place ? nearest(tree, place.split('.')) : undefined;
  return node ? [{ message, from: node.offset, to: node.offset + node.length }] : [];
}

export const readImpact = (query: Query, text: string) =>
  query<Impact>(
    `select subject, former_plan, plan, at, at > quota.clock() as is_later, feature, period, used,
       "limit", over
     from quota.plan_impact($1::jsonb) limit 500`,
    [text],
  );

const OFFER = 'select * from public.plan_catalog order by plan, feature, period';

/** What customers see; of a document that is being edited, by applying it and taking that back. */
export const readOffer = (database: Database, text: string | null) =>
  text === null
    ? database.read((query) => query(OFFER))
    : database.write(async (query) => {
        await query('select from public.apply_plans($1::jsonb, false)', [text]);
        return query(OFFER);
      }, true);

export const applyPlans = (database: Database, text: string) =>
  database.write(
    (query) =>
      query<Change>('select action, kind, id, detail from public.apply_plans($1::jsonb, false)', [
        text,
      ]),
    false,
  );
