// Generated from the SQL in sql/ by npm run build. Do not edit.

import { decided } from './decided.ts';

export type Json = string | number | boolean | null | JsonObject | Json[];
export type JsonObject = { [key: string]: Json | undefined };

/** How often a limit starts again; `lifetime` never does. */
export type Period =
  | 'minute'
  | 'hour'
  | 'day'
  | 'week'
  | 'month'
  | 'year'
  | 'lifetime'
  | UsageWindow;

/** From the first use: `5 hours`, `1 day`. */
export type UsageWindow = `1 ${WindowUnit}` | `${number} ${WindowUnit}s`;
type WindowUnit = 'minute' | 'hour' | 'day' | 'week' | 'month';

export interface CallOptions {
  /** Ends the wait for an answer. What the call counted stays counted. */
  signal?: AbortSignal | null;
}

/** Makes the call and gives its answer, never null; or throws. */
export type Ask = <Answer>(
  name: string,
  args: object | undefined,
  options: CallOptions | undefined,
) => Promise<Answer>;

/** Makes a call that has no answer; or throws. */
export type Tell = (
  name: string,
  args: object | undefined,
  options: CallOptions | undefined,
) => Promise<void>;

/**
 * Use of the running periods: one row per subject, feature and period of the subject's plan, also
 * where nothing was used yet. A signed-in user sees itself and the subjects it belongs to. An
 * ended period shows as 0 without any job having run.
 */
export type CurrentUsage<Feature extends string = string> = {
  /** Who is limited. */
  subject: string;
  /** The id of the feature. */
  feature: Feature;
  /** What the feature is called, for people. */
  feature_name: string;
  /** What one of it is called, for people. */
  unit: string;
  /** `metered`: starts again each period. `gauge`: goes up and down (files, seats). */
  kind: 'metered' | 'gauge';
  /** The plan that holds now; null when the subject has none and an exception allows the feature. */
  plan: string | null;
  /** `minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours. */
  period: Period;
  /** Units used in the period. */
  used: number;
  /** Units held by open reservations. */
  reserved: number;
  /**
   * Units allowed in the period, open grants included; null when unlimited. Over REST filter it
   * with and=(limit.gte.10): ?limit= is paging.
   */
  limit: number | null;
  /** Units left, never negative; null when unlimited. */
  remaining: number | null;
  /** True when there is no limit: still counted. */
  unlimited: boolean;
  /**
   * Used and reserved as a percentage of the limit, rounded down; 100 for a limit of 0; null when
   * unlimited.
   */
  percent_used: number | null;
  /** When the period began; null for lifetime, and for a window that no use has opened. */
  period_start: string | null;
  /** When used starts again at 0; null for lifetime, and for a window that no use has opened. */
  resets_at: string | null;
  /**
   * `ok`; `warning` from 80 %; `at_limit`; `over_limit` (past a soft limit or in a grace, after a
   * downgrade, or by a commit of more than was held).
   */
  status: 'ok' | 'warning' | 'at_limit' | 'over_limit';
  /** How much of the limit is open grants: extra that does not reset. */
  granted: number;
  /** The IANA zone whose wall clock the periods follow. */
  time_zone: string;
  /** How much of the limit was left of the period before: it is used first. */
  carried: number;
  /**
   * Units used at the end of the period, at the pace so far; null before a tenth of the period has
   * passed and 5 units are used, and for lifetime.
   */
  projected: number | null;
  /**
   * When nothing is left at that pace, held units included (now, where nothing is); null where the
   * limit lasts until the reset, and where projected is null.
   */
  exhausted_at: string | null;
  /**
   * The member whose own cap this row is, within what the organisation has; null where it is none.
   * A user sees its own, and where quota.sees_members() says so those of all.
   */
  member: string | null;
};

/**
 * Switches and values as they hold now: one row per subject and switch or value of the catalogue,
 * also where the plan lacks it. A signed-in user sees itself and the subjects it belongs to. An
 * override of set_value() that has ended shows no more, without any job having run.
 */
export type Entitlement<Feature extends string = string> = {
  /** Whose it is. */
  subject: string;
  /** The id of the feature. */
  feature: Feature;
  /** `switch` or `value`. */
  kind: 'switch' | 'value';
  /** True for a switch that is on, and for a value that is there. */
  enabled: boolean;
  /**
   * true or false of a switch, any JSON of a value; null when the subject has none. 0, false and ""
   * are values.
   */
  value: Json | null;
};

/** What quota.import_usage() did, or would do, with one row. */
export type ImportResult<Feature extends string = string> = {
  /** Which row of the document, from 1. */
  row: number;
  /** Who used it; null when the row does not say. */
  subject: string | null;
  /** What was used; null when the row does not say. */
  feature: Feature | null;
  /** Units; null when the row does not say. */
  amount: number | null;
  /** `import`; `skip` (it was brought in before, or is 0); `reject` (see problem). */
  action: 'import' | 'skip' | 'reject';
  /** Why it was rejected; null when it was not. */
  problem: string | null;
};

/** One thing that is not as this release made it. */
export type InstallationProblem = {
  /** What it is, for example: policy select_own on quota.events. */
  object: string;
  /** What is wrong with it. */
  problem: string;
  /**
   * SQL that puts it right; null where a person has to choose, or where the text is in the
   * migration (npx pgquota doctor --sql prints it).
   */
  statement: string | null;
};

/**
 * Plans, what they allow and what they have: one row per plan, feature and period, and one per
 * plan and switch or value. Hidden plans and features and retired plans are left out. Readable by
 * everybody.
 */
export type PlanCatalog<Feature extends string = string> = {
  /** The id of the plan. */
  plan: string;
  /** What the plan is called, for people. */
  plan_name: string;
  /** True for the plan of subjects that have none. */
  is_default: boolean;
  /** Where the plan sends who wants more; null when it says nothing. */
  upgrade_url: string | null;
  /** The id of the feature. */
  feature: Feature;
  /** What the feature is called, for people. */
  feature_name: string;
  /** What one of it is called, for people. */
  unit: string;
  /**
   * `metered`: starts again each period. `gauge`: goes up and down (files, seats). `switch` and
   * `value`: not counted, see value.
   */
  kind: 'metered' | 'gauge' | 'switch' | 'value';
  /**
   * `minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours; null
   * for a switch or value.
   */
  period: Period | null;
  /** Units per period; null when unlimited, and for a switch or value. */
  limit: number | null;
  /** True when there is no limit. */
  unlimited: boolean;
  /** true or false of a switch, any JSON of a value; null for a limit. */
  value: Json | null;
  /** How much of what a period left stays for the next one at most; null for nothing. */
  rollover: number | null;
  /**
   * `hard`: what passes the limit is refused. `soft`: it is allowed, up to ceiling, and counted as
   * overage. Null for a switch or value.
   */
  mode: 'hard' | 'soft' | null;
  /** Where a soft limit ends; null for nowhere. */
  ceiling: number | null;
};

/** One change that apply_plans makes, or would make. */
export type PlanChange = {
  /** `add`, `change` or `remove`. */
  action: 'add' | 'change' | 'remove';
  /** `feature`, `plan`, `limit`, `value` or `cap`. */
  kind: 'feature' | 'plan' | 'limit' | 'value' | 'cap';
  /**
   * The id of the feature or plan; of a limit or a member's cap plan/feature/period, of a value
   * plan/feature.
   */
  id: string;
  /** What changes, in words: "amount: 50 → 100". */
  detail: string;
};

/**
 * Limits of which a mark was crossed (80 % and 100 %, or the alerts of the feature in the plan
 * document): one row per subject, feature, period and threshold, written by the call that crossed
 * it, again after a reset. deliver_alerts() hands them out, npx pgquota alerts sends them to a
 * webhook.
 */
export type UsageAlert<Feature extends string = string> = {
  /** Who is limited. */
  subject: string;
  /** The id of the feature. */
  feature: Feature;
  /** `minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours. */
  period: Period;
  /** When the period began; null for lifetime. */
  period_start: string | null;
  /** Per cent of the limit: 80 or 100, or what the plan document says. */
  threshold: number;
  /** When it was crossed. */
  at: string;
  /** Used and reserved units, after the crossing call. */
  used: number;
  /** The limit at that moment. */
  limit: number;
  /** Which alert it is: the same in each delivery, and what acknowledge_alerts() is told. */
  alert_id: string;
  /**
   * The member whose own cap it is, within what the organisation (subject) has; null where it is
   * none. A user sees its own, and where quota.sees_members() says so those of all.
   */
  member: string | null;
};

/**
 * The answer to a call. With several limits the fields show the one that refused, else the one
 * with least room.
 */
export type UsageDecision<Feature extends string = string> = {
  /** Whether the amount was (or, for check_usage, would be) taken. */
  allowed: boolean;
  /**
   * `ok`; `limit_reached`; `feature_not_in_plan`; `not_taken` (another item of the batch was
   * refused); `over_limit` (allowed, and past a limit: a soft one, one in its grace, or by a commit
   * of more than was held). Of consume_usage_many alone, the code of the error that this call would
   * have had: QAMNT, QFEAT, QIDEM, QMETA, QSUBJ, 22023 or 55P03.
   */
  reason: 'ok' | 'limit_reached' | 'feature_not_in_plan' | 'not_taken' | 'over_limit';
  /** The feature asked for. */
  feature: Feature;
  /** Who is limited. */
  subject: string;
  /** The plan that holds now; null when the subject has none and there is no default plan. */
  plan: string | null;
  /**
   * Units that this call moved, or asked for when it is refused: less than asked for where partial
   * took what fitted.
   */
  amount: number;
  /** Units used in the period, after the call. */
  used: number;
  /** Units held by open reservations, after the call. */
  reserved: number;
  /**
   * Units allowed in the period, open grants included; null when unlimited, 0 when the feature is
   * not in the plan.
   */
  limit: number | null;
  /** Units left, never negative; null when unlimited. */
  remaining: number | null;
  /** True when the shown limit is none. */
  unlimited: boolean;
  /**
   * `minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours; null
   * when the feature is not in the plan.
   */
  period: Period | null;
  /**
   * When the period began; null for lifetime, for a window that no use has opened, and when the
   * feature is not in the plan.
   */
  period_start: string | null;
  /**
   * When the period ends and used starts again at 0; null for lifetime, for a window that no use
   * has opened, and when the feature is not in the plan.
   */
  resets_at: string | null;
  /**
   * Whole seconds, rounded up and at least 1, until time alone would allow the amount; null when
   * allowed or never.
   */
  retry_after: number | null;
  /**
   * The ledger line of the call: what counted it, for refund_usage, or a refund's, return's or
   * release's own; null for a refusal, a check, a reservation and its extension.
   */
  event_id: string | null;
  /**
   * The hold, for extend_usage, commit_usage and release_usage; null when the call made, extended
   * or ended none.
   */
  reservation_id: string | null;
  /**
   * True when the idempotency key was used before: this is the first answer, nothing was counted
   * again.
   */
  replayed: boolean;
  /** Where the plan sends who wants more; null when it says nothing. */
  upgrade_url: string | null;
  /** How much of the limit is open grants: extra that does not reset. */
  granted: number;
  /** How much of the limit was left of the period before: it is used first. */
  carried: number;
  /**
   * Whose units used, reserved, limit, remaining and granted are: the feature asked for or, where
   * that has least room or refuses, one that it costs.
   */
  limiting_feature: string;
  /** Whose limit is shown: the subject, or one above it. */
  limiting_subject: string;
  /** The member whose own cap is shown; null where it is none. */
  limiting_member: string | null;
};

/** The ledger lines of the reader and of the subjects it belongs to, append-only. */
export type UsageEvent<Feature extends string = string> = {
  /** Whose line it is. */
  subject: string;
  /** The line, for refund_usage. */
  event_id: string;
  /** When it happened. */
  at: string;
  /**
   * `consume`, `cost` (what a use costs of another feature), `level` (what a subject below used),
   * `batch`, `reserve`, `commit`, `release`, `expire`, `refund`, `return`, `reset`, `open`,
   * `table`, `import`, `grant`, `void`, `draw`, `carry`, `plan`, `limit`, `value`, `member`,
   * `parent`, `merge` or `fold` (old lines of a stretch between periods, as one; metadata says how
   * many).
   */
  kind:
    | 'consume'
    | 'cost'
    | 'level'
    | 'batch'
    | 'reserve'
    | 'commit'
    | 'release'
    | 'expire'
    | 'refund'
    | 'return'
    | 'reset'
    | 'open'
    | 'table'
    | 'import'
    | 'grant'
    | 'void'
    | 'draw'
    | 'carry'
    | 'plan'
    | 'limit'
    | 'value'
    | 'member'
    | 'parent'
    | 'merge'
    | 'fold';
  /**
   * The id of the feature; null for a merge, a change of plan, members, or a switch or value
   * (metadata names it).
   */
  feature: Feature | null;
  /** The instant whose periods the line counts in. */
  counts_at: string;
  /** Change of used, in units of the feature. */
  used_change: number;
  /** Change of what is held. */
  reserved_change: number;
  /** Change of what is drawn from grant_id. */
  drawn_change: number;
  /**
   * The event, reservation or grant that this line is about, or the id that resets of a feature
   * share; null when it stands for itself.
   */
  about_id: string | null;
  /** The grant that it draws from; null without one. */
  grant_id: string | null;
  /**
   * The user that acted for the subject, or that a server named, also on the lines of the end of
   * its holds and of refunds, or whose membership or cap changed; null where it is the subject
   * itself, a server that named none, or a user that was forgotten.
   */
  actor: string | null;
  /** The key of the call that wrote it; null without one. */
  idempotency_key: string | null;
  /** What the caller wanted to be kept with it. */
  metadata: Json;
  /**
   * How far the line went past limits, in units by period, as in {"month": 3}; null: past none. A
   * server sees limits in shadow, too: what they would have refused.
   */
  over: Json | null;
};

/** One limit that applies, or one open grant, and what would allow the amount. */
export type UsageExplanation<Feature extends string = string> = {
  /** Whose limit it is, and in whose units: the feature asked for, or one that it costs. */
  feature: Feature;
  /** Who is limited. */
  subject: string;
  /** The plan that holds now; null when the subject has none and there is no default plan. */
  plan: string | null;
  /**
   * `minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours; null
   * for a grant, a switch or value, and when the feature is not in the plan.
   */
  period: Period | null;
  /** `plan`, `exception` or `grant`: where it comes from. */
  source: 'plan' | 'exception' | 'grant';
  /**
   * Units allowed in the period, open grants included, or units granted; null when unlimited, 0
   * when the feature is not in the plan.
   */
  limit: number | null;
  /** Units used in the period, or drawn from the grant. */
  used: number;
  /** Units held by open reservations. */
  reserved: number;
  /** Units left, never negative; null when unlimited. */
  remaining: number | null;
  /** True when this limit is none. */
  unlimited: boolean;
  /** How much of the limit is open grants. */
  granted: number;
  /**
   * When the period ends, or the grant expires; null for never, and for a window that no use has
   * opened.
   */
  resets_at: string | null;
  /** True when this limit has no room for the amount. */
  refuses: boolean;
  /**
   * Whole seconds until time alone allows the amount under all limits; null when it is allowed now,
   * or never.
   */
  retry_after: number | null;
  /**
   * The smallest grant that would make room under this limit; null when none is needed, or grants
   * do not lift it.
   */
  top_up: number | null;
  /**
   * The other plans that would allow the amount now, smallest first, retired ones left out; null
   * when it is allowed already.
   */
  plans: string[] | null;
  /** Where the plan sends who wants more; null when it says nothing. */
  upgrade_url: string | null;
  /**
   * Units used at the end of the period, at the pace so far; null before a tenth of the period has
   * passed and 5 units are used, and for lifetime and grants.
   */
  projected: number | null;
  /**
   * When nothing is left at that pace; null where the limit lasts until the reset, and where
   * projected is null.
   */
  exhausted_at: string | null;
  /** How much of the limit was left of the period before. */
  carried: number;
  /**
   * `hard` refuses; `soft` allows what passes the limit, up to ceiling; `shadow` (for servers)
   * would refuse.
   */
  mode: 'hard' | 'soft' | 'shadow';
  /**
   * How far use may go where that is past the limit: of a soft limit, and of a hard one in its
   * grace. Null: no further than the limit, or without end where mode is soft.
   */
  ceiling: number | null;
  /** The member whose cap it is; null where it is none. */
  member: string | null;
};

/**
 * Use per period, closed and open ones, minutes and hours left out, windows not. A period in
 * which nothing was used has no row. Periods of a kind never overlap.
 */
export type UsageHistory<Feature extends string = string> = {
  /** Who used it. */
  subject: string;
  /** The id of the feature. */
  feature: Feature;
  /** `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours. */
  period: 'day' | 'week' | 'month' | 'year' | 'lifetime' | UsageWindow;
  /** When the period began; null for lifetime. */
  period_start: string | null;
  /** Exclusive; null for lifetime. */
  period_end: string | null;
  /** Units used in the period; of a gauge what the subject has, and those below it. */
  used: number;
  /** The limit at the period's last call; null when it was unlimited. */
  limit: number | null;
  /** How much of the limit was left of the period before. */
  carried: number;
  /**
   * Units that were past the limit when they were used, less what was refunded of them: what a soft
   * limit is billed for.
   */
  over: number;
};

/** A number that its ledger does not prove. */
export type UsageMismatch<Feature extends string = string> = {
  /** Whose number it is. */
  subject: string;
  /** The feature it counts. */
  feature: Feature;
  /**
   * The counter's period; reserved where holds differ from open reservations, granted where a
   * grant's draws do, over where what was used past a limit does, rows where what a meter remembers
   * of the rows of limited tables does, window (1 or 0) where one is open that no use and no line
   * has opened, or the other way. Of a member's cap it says whose, as in month of ada.
   */
  period: string;
  /** When the period began or the grant was made; null for lifetime. */
  period_start: string | null;
  /** The number that is kept. */
  counted: number;
  /** The number that the ledger proves. */
  ledger: number;
};

/**
 * The operator's list: one row per subject, feature and running period that has been used, from
 * stored numbers alone. Who is near a limit, over any number of subjects: where status in
 * ('warning', 'at_limit', 'over_limit') order by percent_used desc limit 50. A limit that changed
 * since the subject's last call shows with its next one (set_plan and set_limit show at once),
 * and an expired hold counts until then; current_usage of that subject is exact at any time. For
 * the server.
 */
export type UsageOverview<Feature extends string = string> = {
  /** Who is limited. */
  subject: string;
  /** The id of the feature. */
  feature: Feature;
  /** `minute`, `hour`, `day`, `week`, `month`, `year`, `lifetime`, or a window as in 5 hours. */
  period: Period;
  /** Units used in the period; of a gauge what the subject has, and those below it. */
  used: number;
  /** Units held by reservations, also by expired ones that no call has met since. */
  reserved: number;
  /**
   * Units allowed at the period's last call, open grants included; null when unlimited. Over REST
   * filter it with and=(limit.gte.10): ?limit= is paging.
   */
  limit: number | null;
  /** Units left, never negative; null when unlimited. */
  remaining: number | null;
  /** True when there is no limit: still counted. */
  unlimited: boolean;
  /**
   * Used and reserved as a percentage of the limit, rounded down; 100 for a limit of 0; null when
   * unlimited.
   */
  percent_used: number | null;
  /** When the period began; null for lifetime. */
  period_start: string | null;
  /** When used starts again at 0; null for lifetime. */
  resets_at: string | null;
  /** `ok`; `warning` from 80 %; `at_limit`; `over_limit`. */
  status: 'ok' | 'warning' | 'at_limit' | 'over_limit';
};

/** What one user, or one value of a metadata key, has used. */
export type UsageShare = {
  /**
   * The actor, the feature that was called, or the value of the metadata key as text, its first 255
   * characters; null for what has none, or an object or array there.
   */
  value: string | null;
  /** Units used in the time asked for, less what was refunded of them since, whenever that was. */
  used: number;
  /**
   * How many calls counted them, also those that were refunded since; rows of limited tables and
   * imports are none.
   */
  calls: number;
};

/** The arguments of acknowledgeAlerts. */
export type AcknowledgeAlertsArgs = {
  ids: string[];
};

/** The arguments of addMember. */
export type AddMemberArgs = {
  subject: string;
  user_id: string;
};

/** The arguments of applyPlans. */
export type ApplyPlansArgs = {
  plans: Json;
  /** Default: false. */
  dry_run?: boolean;
};

/** The arguments of checkUsage. */
export type CheckUsageArgs<Feature extends string = string> = {
  feature: Feature;
  /** Default: 1. */
  amount?: number;
  subject?: string | null;
};

/** The arguments of clearLimit. */
export type ClearLimitArgs<Feature extends string = string> = {
  subject: string;
  feature: Feature;
  period: Period;
  member?: string | null;
  reason?: string | null;
};

/** The arguments of commitUsage. */
export type CommitUsageArgs = {
  reservation_id: string;
  amount?: number | null;
  subject?: string | null;
  /** Default: '{}'. */
  metadata?: JsonObject | null;
};

/** The arguments of consumeUsage. */
export type ConsumeUsageArgs<Feature extends string = string> = {
  feature: Feature;
  /** Default: 1. */
  amount?: number;
  subject?: string | null;
  idempotency_key?: string | null;
  /** Default: '{}'. */
  metadata?: JsonObject | null;
  actor?: string | null;
  /** Default: false. */
  partial?: boolean;
};

/** The arguments of consumeUsageBatch. */
export type ConsumeUsageBatchArgs = {
  items: Json;
  subject?: string | null;
  idempotency_key?: string | null;
  /** Default: '{}'. */
  metadata?: JsonObject | null;
};

/** The arguments of consumeUsageMany. */
export type ConsumeUsageManyArgs = {
  calls: Json;
  subject: string;
};

/** The arguments of deliverAlerts. */
export type DeliverAlertsArgs = {
  /** Default: 100. */
  max?: number;
};

/** The arguments of enforceUsage. */
export type EnforceUsageArgs<Feature extends string = string> = {
  feature: Feature;
  /** Default: 1. */
  amount?: number;
  subject?: string | null;
  idempotency_key?: string | null;
  /** Default: '{}'. */
  metadata?: JsonObject | null;
  actor?: string | null;
  /** Default: false. */
  partial?: boolean;
};

/** The arguments of explainUsage. */
export type ExplainUsageArgs<Feature extends string = string> = {
  feature: Feature;
  /** Default: 1. */
  amount?: number;
  subject?: string | null;
};

/** The arguments of extendUsage. */
export type ExtendUsageArgs = {
  reservation_id: string;
  /** Default: '00:15:00'. */
  ttl?: string;
  subject?: string | null;
};

/** The arguments of forgetSubject. */
export type ForgetSubjectArgs = {
  subject: string;
};

/** The arguments of grantUsage. */
export type GrantUsageArgs<Feature extends string = string> = {
  feature: Feature;
  amount: number;
  subject: string;
  expires_at?: string | null;
  idempotency_key?: string | null;
  /** Default: '{}'. */
  metadata?: JsonObject | null;
};

/** The arguments of mergeSubjects. */
export type MergeSubjectsArgs = {
  from_subject: string;
  into_subject: string;
};

/** The arguments of refundUsage. */
export type RefundUsageArgs = {
  event_id: string;
  amount?: number | null;
  reason?: string | null;
  idempotency_key?: string | null;
  subject?: string | null;
};

/** The arguments of releaseUsage. */
export type ReleaseUsageArgs = {
  reservation_id: string;
  subject?: string | null;
  reason?: string | null;
};

/** The arguments of removeMember. */
export type RemoveMemberArgs = {
  subject: string;
  user_id: string;
};

/** The arguments of reserveUsage. */
export type ReserveUsageArgs<Feature extends string = string> = {
  feature: Feature;
  /** Default: 1. */
  amount?: number;
  subject?: string | null;
  /** Default: '00:15:00'. */
  ttl?: string;
  idempotency_key?: string | null;
  /** Default: '{}'. */
  metadata?: JsonObject | null;
  actor?: string | null;
  /** Default: false. */
  partial?: boolean;
};

/** The arguments of resetUsage. */
export type ResetUsageArgs<Feature extends string = string> = {
  feature: Feature;
  subject: string;
  period?: Period | null;
  reason?: string | null;
  idempotency_key?: string | null;
};

/** The arguments of returnUsage. */
export type ReturnUsageArgs<Feature extends string = string> = {
  feature: Feature;
  amount: number;
  subject: string;
  idempotency_key?: string | null;
  /** Default: '{}'. */
  metadata?: JsonObject | null;
};

/** The arguments of setLimit. */
export type SetLimitArgs<Feature extends string = string> = {
  subject: string;
  feature: Feature;
  period: Period;
  limit: number | null;
  ends_at?: string | null;
  member?: string | null;
  reason?: string | null;
};

/** The arguments of setParent. */
export type SetParentArgs = {
  subject: string;
  parent: string | null;
};

/** The arguments of setPlan. */
export type SetPlanArgs = {
  subject: string;
  plan: string;
  anchor?: string | null;
  time_zone?: string | null;
  ends_at?: string | null;
  reason?: string | null;
};

/** The arguments of setValue. */
export type SetValueArgs<Feature extends string = string> = {
  subject: string;
  feature: Feature;
  value: Json | null;
  ends_at?: string | null;
};

/** The arguments of usageBreakdown. */
export type UsageBreakdownArgs<Feature extends string = string> = {
  feature: Feature;
  /** Default: 'actor'. */
  by?: string;
  subject?: string | null;
  since?: string | null;
  until?: string | null;
};

/** The arguments of verifyUsage. */
export type VerifyUsageArgs = {
  subject?: string | null;
};

/** The arguments of voidGrant. */
export type VoidGrantArgs = {
  grant_id: string;
  subject?: string | null;
  amount?: number | null;
  reason?: string | null;
};

/** A method per SQL function. A refusal of the limit is an answer, not an error. */
export interface UsageMethods<Feature extends string = string> {
  /**
   * Says that these alerts have arrived (ids are their alert_id): they are not handed out again.
   * Returns how many were acknowledged now; unknown ones and those acknowledged before are passed
   * over.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `22023` no array
   * - `42501` not a trusted role
   */
  acknowledgeAlerts(args: AcknowledgeAlertsArgs, options?: CallOptions): Promise<number>;
  /**
   * Lets a user use and see on behalf of a subject, beside its own allowance. Apps that have a
   * membership table of their own replace quota.acts_for() and quota.subjects_of() instead.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QSUBJ` subject or user missing, empty or over 255 characters
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  addMember(args: AddMemberArgs, options?: CallOptions): Promise<void>;
  /**
   * Makes features, plans, limits, values and members' caps equal to the document, and returns a
   * row (action, kind, id, detail) for each change; none when there is nothing to do. dry_run only
   * says what would change. A limit of null is unlimited. A period is minute, hour, day, week,
   * month, year, lifetime, or a window from the first use: 1 minute to 9999 months, as in "5
   * hours", "1 day". Removing a plan that subjects are on, or a feature that has use, is an error.
   * On an error nothing is changed.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QPLAN` with the place in the document, what was found and what was expected
   * - `22023` dry_run is null
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  applyPlans(args: ApplyPlansArgs, options?: CallOptions): Promise<PlanChange[]>;
  /**
   * Answers whether an amount would be allowed now, and writes nothing. amount is in units of the
   * feature (default 1); subject defaults to the signed-in user and must be named by trusted
   * callers. A signed-in user may ask about a server_only feature too. A switch or value is allowed
   * in any amount, or refused with feature_not_in_plan. Returns a usage_decision with the state
   * before any use.
   *
   * May be called by a signed-in user and by the server.
   *
   * @throws UsageError with one of the codes
   * - `42501` no identity or a subject that is not yours
   * - `QFEAT` unknown feature
   * - `QAMNT` amount below 1 or too large
   * - `QSUBJ` subject missing (trusted callers), empty or over 255 characters
   */
  checkUsage(args: CheckUsageArgs<Feature>, options?: CallOptions): Promise<UsageDecision<Feature>>;
  /**
   * Takes an exception away: the plan's limit holds again, at once; of a member the plan's
   * per_member. Nothing happens when there is none. reason is kept in the ledger; null is none.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QFEAT` unknown feature
   * - `QPLAN` unknown period
   * - `QSUBJ`
   * - `QMETA` reason over 8 kB
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  clearLimit(args: ClearLimitArgs<Feature>, options?: CallOptions): Promise<void>;
  /**
   * Turns a hold into use, in the period in which it was made. amount is what was really used, in
   * units of the feature: 0 is allowed, null is what was held; less gives the rest back. More than
   * was held, or a hold that has expired, is counted all the same, and reason is over_limit when
   * that passed a limit. Repeated, it gives the first answer again (replayed = true), whatever
   * amount it names. event_id of the answer can be refunded. subject is not needed; it routes the
   * call where the data is sharded.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QRSRV` no such reservation, released already, or of another subject than the named one
   * - `QAMNT` amount below 0 or too large
   * - `QMETA`
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  commitUsage(args: CommitUsageArgs, options?: CallOptions): Promise<UsageDecision<Feature>>;
  /**
   * Checks every limit of the feature and counts the amount, in one step and in the caller's
   * transaction. A refusal is an answer (allowed = false with reason limit_reached or
   * feature_not_in_plan), not an error, and counts nothing; what a soft limit allows past itself
   * has reason over_limit. amount is in units of the feature (default 1); subject defaults to the
   * signed-in user and must be named by trusted callers. The same idempotency_key with the same
   * arguments gives the first allowed answer again (replayed = true) and counts nothing, for at
   * least 30 days (the rule of Stripe's Idempotency-Key, except that a refusal binds nothing, and
   * that the key of a use that was refunded in full is free again). Keys of users and of trusted
   * callers are two spaces. metadata is kept in the ledger. actor is the user that it is for, where
   * subject is an organisation: a server names it, a signed-in user is it; the ledger keeps it, and
   * with another one the key is another call's. partial takes what fits of the amount: amount of
   * the answer says how much, and only nothing is a refusal.
   *
   * May be called by a signed-in user and by the server.
   *
   * @throws UsageError with one of the codes
   * - `42501` no identity, a subject that is not yours, a server_only feature, or an actor named by
   *   a user
   * - `QFEAT` unknown feature
   * - `QAMNT` amount below 1 or too large
   * - `QSUBJ` subject missing (trusted callers), or it or actor empty or over 255 characters
   * - `QIDEM` key reused with other arguments, empty or over 255 characters
   * - `QMETA` metadata not an object or over 8 kB
   * - `22023` partial is null
   * - `55P03` another call held the row for 2 s (retry)
   */
  consumeUsage(
    args: ConsumeUsageArgs<Feature>,
    options?: CallOptions,
  ): Promise<UsageDecision<Feature>>;
  /**
   * Consumes several items, all or none, in one atomic step: items is an array of 1 to 100 objects
   * {"feature": …, "amount": …} (amount in units of the feature, default 1; a feature may appear
   * twice); of a trusted caller an item may name its own subject and actor, and subject may be left
   * out where every item does (the key is then of the first one). Returns one decision per item, in
   * order. When one is refused nothing is counted: refused items say why, the others have allowed =
   * false and reason not_taken. subject, idempotency_key and metadata are as in consume_usage; the
   * key stands for the whole batch.
   *
   * May be called by a signed-in user and by the server.
   *
   * @throws UsageError with one of the codes
   * - `22023` items malformed, empty or more than 100, or a use of more than 400 meters
   * - `QAMNT`
   * - `QFEAT`
   * - `42501` no identity, a subject that is not yours, a server_only feature, or an item of a user
   *   that names subject or actor
   * - `QSUBJ`
   * - `QIDEM`
   * - `QMETA`
   * - `55P03` retry
   */
  consumeUsageBatch(
    args: ConsumeUsageBatchArgs,
    options?: CallOptions,
  ): Promise<UsageDecision<Feature>[]>;
  /**
   * Makes 1 to 1,000 calls of one subject in order and in one round trip, each as consume_usage
   * would: with a decision, a line of the ledger and a key of its own. calls is an array of objects
   * {"feature": …, "amount": …, "idempotency_key": …, "metadata": …, "actor": …, "partial": …}, of
   * which only feature must be there. Returns one decision per call, in order: a refusal of one is
   * none of the others. A call that consume_usage would answer with an error counts nothing and has
   * allowed = false, with the code of the error for a reason: made alone it says what is wrong. All
   * are counted in one transaction.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `22023` calls is not an array of 1 to 1,000 elements
   * - `42501` a user calls
   * - `QSUBJ` subject missing, empty or over 255 characters
   * - `55P03` another call held a row for 2 s, nothing was counted (retry)
   */
  consumeUsageMany(
    args: ConsumeUsageManyArgs,
    options?: CallOptions,
  ): Promise<UsageDecision<Feature>[]>;
  /**
   * Hands out up to max alerts that nobody was handed yet, oldest first. Each comes again after 5
   * minutes unless it is acknowledged, so every alert is delivered at least once: tell a repeated
   * one by its alert_id. Several may call it at once; each is handed others.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `22023` max is not from 1 to 1000
   * - `42501` not a trusted role
   */
  deliverAlerts(args?: DeliverAlertsArgs, options?: CallOptions): Promise<UsageAlert<Feature>[]>;
  /**
   * As consume_usage, and shares its idempotency keys, but a refusal raises: PT429 (HTTP 429) where
   * a limit of minutes or hours refuses and waiting helps, else PT402 (HTTP 402). DETAIL is the
   * decision as JSON, HINT the upgrade url; over HTTP a Retry-After header gives the wait in
   * seconds.
   *
   * May be called by a signed-in user and by the server.
   *
   * @throws UsageError with one of the codes
   * - `PT402` and `PT429` a refusal
   * - `42501`, `QFEAT`, `QAMNT`, `QSUBJ`, `QIDEM`, `QMETA`, `22023` and `55P03` as consume_usage
   */
  enforceUsage(
    args: EnforceUsageArgs<Feature>,
    options?: CallOptions,
  ): Promise<UsageDecision<Feature>>;
  /**
   * Every limit that applies to an amount, and every open grant, one row each: where it comes from
   * (plan, exception, grant), its room, whether it refuses, and what would allow the amount: how
   * long a wait, how large a top-up, which other plans. Of what the feature costs, the limits and
   * grants follow, in their own units. A feature that is not in the plan gives one row that says
   * so. amount is in units of the feature (default 1); subject defaults to the signed-in user and
   * must be named by trusted callers. Writes nothing.
   *
   * May be called by a signed-in user and by the server.
   *
   * @throws UsageError with one of the codes
   * - `QFEAT` unknown feature
   * - `QAMNT`
   * - `QSUBJ`
   * - `42501` no identity or a subject that is not yours
   */
  explainUsage(
    args: ExplainUsageArgs<Feature>,
    options?: CallOptions,
  ): Promise<UsageExplanation<Feature>[]>;
  /**
   * An open hold now expires ttl from now (more than 0, at most 7 days), also where that is sooner:
   * the heartbeat of a long job. It goes on counting in the periods in which it was made, and asks
   * no limit again. Returns a usage_decision: amount is what is held, the other fields the state
   * now. subject is not needed; it routes the call where the data is sharded.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QRSRV` no such reservation, expired, committed or released already, or of another subject
   *   than the named one
   * - `22023` ttl
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  extendUsage(args: ExtendUsageArgs, options?: CallOptions): Promise<UsageDecision<Feature>>;
  /**
   * Erases everything that is known of a subject (plan, counters, grants, memberships, ledger) and
   * returns how many ledger lines that were. The ledgers of organisations for which it acted keep
   * their lines without its name. What rows of limited tables count stays counted while they stand:
   * delete them first, or call it again after. Not to be undone.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QSUBJ`
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  forgetSubject(args: ForgetSubjectArgs, options?: CallOptions): Promise<number>;
  /**
   * Gives a subject extra allowance outside its plan and returns the grant's id. It is used after
   * the plan's allowance, the grant that expires soonest first, and survives resets and plan
   * changes; it lifts no limit of minutes or hours, and does not open a feature that the plan
   * lacks. On a gauge it raises the limit. amount is in units of the feature; expires_at null is
   * never. The same idempotency_key with the same arguments gives the first id again.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QFEAT` unknown feature
   * - `QAMNT`
   * - `QSUBJ`
   * - `QIDEM`
   * - `QMETA`
   * - `22023` expires_at in the past, infinite or after the year 9999
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  grantUsage(args: GrantUsageArgs<Feature>, options?: CallOptions): Promise<string>;
  /**
   * Makes one subject another name of an account. Its use counts in the account's periods by the
   * instant of each use (what lies before them is history), its grants, holds, idempotency keys and
   * members come along, and so does its membership of organisations; plan, billing day, zone,
   * exceptions and overrides of the account stay, those of the old name end. The old name has no
   * allowance of its own from then on: calls that name it are answered as the account's, ids of its
   * uses, holds and grants stay good, and whoever was signed in as it sees nothing of the account.
   * What rows of limited tables count stays with the old name until the rows name the account; no
   * more rows that name it fit. A fresh start by hand of the old name does not come along. It
   * leaves its levels: those below it are below the account from then on, what it used stays
   * counted above it, where a refund or the commit of a hold goes, and does not count above the
   * account; what its gauges show moves along. Into an account that was merged itself, it is merged
   * into what that became. Repeated, it changes nothing.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QSUBJ` a subject missing, empty or over 255 characters, into itself, in a circle, merged
   *   into another account before, the account below it, more than 3 levels, or of uses that
   *   counted for the account, too
   * - `QAMNT` a counter would pass 2^53 - 1
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  mergeSubjects(args: MergeSubjectsArgs, options?: CallOptions): Promise<void>;
  /**
   * Gives back part or all (amount null) of a counted event, in the period it was counted in, never
   * more than is left of it, and with it what it cost: the price of what stays used is kept,
   * rounded up. event_id comes from the decision that counted. reason is kept in the ledger.
   * Returns a usage_decision: amount is what was given back, event_id the refund's own line, the
   * other fields the state now. subject is not needed; it routes the call where the data is
   * sharded.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QRSRV` no such use, or not this subject's
   * - `QAMNT` more than is left of the event
   * - `QIDEM` key reused with other arguments
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  refundUsage(args: RefundUsageArgs, options?: CallOptions): Promise<UsageDecision<Feature>>;
  /**
   * Gives a hold back. Repeated, it gives the first answer again (replayed = true); a hold that has
   * expired is given back already, and releasing it only rules out a late commit. subject is not
   * needed; it routes the call where the data is sharded. reason is kept in the ledger; null is
   * none.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QRSRV` no such reservation, committed already, or of another subject than the named one
   * - `QMETA` reason over 8 kB
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  releaseUsage(args: ReleaseUsageArgs, options?: CallOptions): Promise<UsageDecision<Feature>>;
  /**
   * Ends it: from the next call on the user is refused with 42501. Nothing happens when it was no
   * member.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QSUBJ` subject or user missing, empty or over 255 characters
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  removeMember(args: RemoveMemberArgs, options?: CallOptions): Promise<void>;
  /**
   * Holds an amount while work runs: it counts against every limit of the feature from now on,
   * until it is committed, released or expires after ttl (more than 0, at most 7 days), with no job
   * running; extend_usage moves that on. Returns a usage_decision with reservation_id; a refusal is
   * an answer, as in consume_usage. amount is in units of the feature (default 1); subject must be
   * named. actor is the user that it is for, where subject is an organisation; the ledger keeps it,
   * with the end of the hold, too. partial holds what fits of the amount: amount of the answer says
   * how much, and only nothing is a refusal. The same idempotency_key with the same arguments gives
   * the first answer again, while the hold is open or was committed: once it was released, has
   * expired uncommitted, or its use was refunded in full, the key is free and the call decides
   * afresh.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `22023` ttl, or partial is null
   * - `QFEAT` unknown feature
   * - `QAMNT`
   * - `QSUBJ` subject, or actor empty or over 255 characters
   * - `QIDEM`
   * - `QMETA`
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  reserveUsage(
    args: ReserveUsageArgs<Feature>,
    options?: CallOptions,
  ): Promise<UsageDecision<Feature>>;
  /**
   * A fresh start by hand: what the subject used of a metered feature in the running period (null:
   * in all of its running periods) is 0 again. The period ends when it would have (a window that is
   * closed stays closed); open holds and grants stay, and so does the use of other periods and
   * features. What was used before can still be refunded, which gives nothing back twice. reason is
   * kept in the ledger. Returns a usage_decision: amount is the most that was taken off a period,
   * event_id the line of the longest one, the other fields the state now. The same idempotency_key
   * with the same arguments gives the first answer again.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QFEAT` unknown feature, or a gauge (see return_usage)
   * - `QPLAN` no limit of that period
   * - `QSUBJ`
   * - `QIDEM`
   * - `QMETA` reason over 8 kB
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  resetUsage(args: ResetUsageArgs<Feature>, options?: CallOptions): Promise<UsageDecision<Feature>>;
  /**
   * Lowers a gauge: something was deleted. Never below zero: it gives back what there is, and
   * amount in the answer says how much. amount is in units of the feature. The same idempotency_key
   * with the same arguments gives the first answer again.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QFEAT` unknown feature, or a metered one (see refund_usage)
   * - `QAMNT`
   * - `QSUBJ`
   * - `QIDEM`
   * - `QMETA`
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  returnUsage(
    args: ReturnUsageArgs<Feature>,
    options?: CallOptions,
  ): Promise<UsageDecision<Feature>>;
  /**
   * Gives one subject its own limit for a feature and period, in place of its plan's; it also opens
   * a feature that the plan lacks. limit is in units of the feature per period (also a window, as
   * in '5 hours'), null is unlimited. Holds at once, also for calls that are waiting, until ends_at
   * (null: until clear_limit), when the plan's limit holds again by itself. member gives that user
   * a cap of its own in what the organisation has, in place of the plan's per_member. reason is
   * kept in the ledger; null is none.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QAMNT` limit below 0 or too large
   * - `QFEAT` unknown feature
   * - `QPLAN` unknown period, or a gauge with member
   * - `22023` ends_at in the past, infinite or after the year 9999
   * - `QSUBJ` subject missing, it or member empty or over 255 characters, or member the subject
   *   itself
   * - `QMETA` reason over 8 kB
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  setLimit(args: SetLimitArgs<Feature>, options?: CallOptions): Promise<void>;
  /**
   * Puts a subject under another one: from now on its use counts for that one, too, and for those
   * above it, and every limit of every level has room, or nothing is counted. A subject with a
   * parent has only a plan that it was put on, and without one passes through. What was used before
   * of metered features stays where it counted; what its gauges show moves along. At most 3 levels.
   * parent null takes it off.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QSUBJ` more levels, a circle, or subject or parent missing, empty or over 255 characters
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  setParent(args: SetParentArgs, options?: CallOptions): Promise<void>;
  /**
   * Puts a subject on a plan now. Use so far is kept, and the new limits hold at once, also for
   * calls that are waiting. anchor is the start of the billing period (Stripe's
   * billing_cycle_anchor): days, weeks, months and years count from it on the wall clock of
   * time_zone (an IANA name with a slash, UTC or GMT), month ends clamped; null keeps the present
   * one. A moved anchor or zone starts a new period at once and carries the use that falls into it;
   * a window that is open goes on. From ends_at on the default plan holds; null means no end.
   * reason is kept in the ledger; null is none. A retired plan keeps whoever is on it (or, once
   * moved, on its successor), and takes nobody else, nor back whose plan has ended.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QPLAN` unknown plan, or a retired one
   * - `QSUBJ`
   * - `QMETA` reason over 8 kB
   * - `22023` unknown time zone, or an anchor or end outside the years 1000 to 9999
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  setPlan(args: SetPlanArgs, options?: CallOptions): Promise<void>;
  /**
   * Gives one subject its own switch or value, in place of its plan's; it also gives what the plan
   * lacks. Holds at once, and until ends_at, by itself; ends_at null is no end. value null takes it
   * off: the plan's holds again. 0, false and "" are values.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `QFEAT` unknown feature, or one that is counted
   * - `22023` a switch is true or false, a value any JSON of at most 8 kB with numbers up to
   *   9007199254740991
   * - `22023` ends_at in the past, infinite or after the year 9999
   * - `QSUBJ`
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  setValue(args: SetValueArgs<Feature>, options?: CallOptions): Promise<void>;
  /**
   * What a subject has used of a feature, by the user that acted (by = actor), by a metadata key
   * (by = metadata.project) or by the feature that was called (by = feature: what credits went
   * for): largest first, at most 1,000 rows. Without since and until: the running period of its
   * longest limit (the month, where the feature is not in the plan), since its last fresh start by
   * hand, and the rows add up to used in current_usage. since (included, default: the start of that
   * period) and until (excluded, default: now on) ask for another time, whatever was reset. A
   * refund counts in the time of its use and for its actor and key; a commit has the metadata of
   * its hold, and an item that of its batch, where it has not the key itself. subject defaults to
   * the signed-in user; who may act for an organisation may ask, and under a cap sees its own sums
   * alone, unless quota.sees_members() says that it sees all. Features that are hidden have no rows
   * for users. Reads the lines of that feature and time alone.
   *
   * May be called by a signed-in user and by the server.
   *
   * @throws UsageError with one of the codes
   * - `42501` no identity or a subject that is not yours
   * - `QFEAT` unknown feature, or a switch or value
   * - `22023` by is none of these, since or until is infinite, or since is not before until
   * - `QSUBJ` subject missing (trusted callers), empty or over 255 characters
   */
  usageBreakdown(args: UsageBreakdownArgs<Feature>, options?: CallOptions): Promise<UsageShare[]>;
  /**
   * Compares the installation with what this release says: bodies, owners, rights, options,
   * policies, indexes, constraints, views, the triggers of limited and followed tables, and roles
   * that pass by all of it. No rows: nothing is wrong. Each row (object, problem, statement) is
   * something to put right. Reads only. quota.acts_for(), quota.subjects_of() and
   * quota.sees_members() may be the app's own.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `42501` not a trusted role
   */
  verifyInstallation(options?: CallOptions): Promise<InstallationProblem[]>;
  /**
   * Compares every counter with its ledger, holds with open reservations, grants with their draws
   * and gauges with the rows of limited tables, of one subject or of all (null). No rows: every
   * number is proved. Each row (subject, feature, period, period_start, counted, ledger) is a
   * number that is not. Reads only.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `42501` not a trusted role
   */
  verifyUsage(args?: VerifyUsageArgs, options?: CallOptions): Promise<UsageMismatch<Feature>[]>;
  /**
   * Takes back what is left of a grant, or at most amount of it (a part of a payment that was
   * returned), and returns how much that was, in units of the feature. What was drawn stays drawn,
   * and a hold keeps what it drew. Without amount the grant ends: what refunds and releases give
   * back to it later is gone, too. 0 when nothing is left, the grant has expired or was voided
   * before, there is no such grant, or it is not the named subject's. reason is kept in the ledger;
   * null is none.
   *
   * Server only: needs the service key.
   *
   * @throws UsageError with one of the codes
   * - `22023` no grant_id
   * - `QAMNT`
   * - `QMETA` reason over 8 kB
   * - `42501` not a trusted role
   * - `55P03` retry
   */
  voidGrant(args: VoidGrantArgs, options?: CallOptions): Promise<number>;
}

/** The views, as the type parameter of a SupabaseClient or PostgrestClient. */
export type UsageViews<Feature extends string = string> = {
  public: {
    Tables: Record<never, never>;
    Views: {
      current_usage: { Row: CurrentUsage<Feature>; Relationships: [] };
      entitlements: { Row: Entitlement<Feature>; Relationships: [] };
      plan_catalog: { Row: PlanCatalog<Feature>; Relationships: [] };
      usage_alerts: { Row: UsageAlert<Feature>; Relationships: [] };
      usage_events: { Row: UsageEvent<Feature>; Relationships: [] };
      usage_history: { Row: UsageHistory<Feature>; Relationships: [] };
      usage_overview: { Row: UsageOverview<Feature>; Relationships: [] };
    };
    Functions: Record<never, never>;
  };
};

/** Binds the methods to what makes the calls. */
export function createMethods<Feature extends string>(ask: Ask, tell: Tell): UsageMethods<Feature> {
  const decide: Ask = async (name, args, options) => decided(name, await ask(name, args, options));
  return {
    acknowledgeAlerts: (args, options) => ask('acknowledge_alerts', args, options),
    addMember: (args, options) => tell('add_member', args, options),
    applyPlans: (args, options) => ask('apply_plans', args, options),
    checkUsage: (args, options) => decide('check_usage', args, options),
    clearLimit: (args, options) => tell('clear_limit', args, options),
    commitUsage: (args, options) => decide('commit_usage', args, options),
    consumeUsage: (args, options) => decide('consume_usage', args, options),
    consumeUsageBatch: (args, options) => decide('consume_usage_batch', args, options),
    consumeUsageMany: (args, options) => decide('consume_usage_many', args, options),
    deliverAlerts: (args, options) => ask('deliver_alerts', args, options),
    enforceUsage: (args, options) => decide('enforce_usage', args, options),
    explainUsage: (args, options) => ask('explain_usage', args, options),
    extendUsage: (args, options) => decide('extend_usage', args, options),
    forgetSubject: (args, options) => ask('forget_subject', args, options),
    grantUsage: (args, options) => ask('grant_usage', args, options),
    mergeSubjects: (args, options) => tell('merge_subjects', args, options),
    refundUsage: (args, options) => decide('refund_usage', args, options),
    releaseUsage: (args, options) => decide('release_usage', args, options),
    removeMember: (args, options) => tell('remove_member', args, options),
    reserveUsage: (args, options) => decide('reserve_usage', args, options),
    resetUsage: (args, options) => decide('reset_usage', args, options),
    returnUsage: (args, options) => decide('return_usage', args, options),
    setLimit: (args, options) => tell('set_limit', args, options),
    setParent: (args, options) => tell('set_parent', args, options),
    setPlan: (args, options) => tell('set_plan', args, options),
    setValue: (args, options) => tell('set_value', args, options),
    usageBreakdown: (args, options) => ask('usage_breakdown', args, options),
    verifyInstallation: (options) => ask('verify_installation', undefined, options),
    verifyUsage: (args, options) => ask('verify_usage', args, options),
    voidGrant: (args, options) => ask('void_grant', args, options),
  };
}
