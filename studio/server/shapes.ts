/** What the server answers and the page shows. Types alone: both sides import them, neither ships them. */

/** What the database said when it refused, or why it was not reached. */
export interface Refusal {
  message: string;
  detail?: string | undefined;
  hint?: string | undefined;
  code?: string | undefined;
}

export interface Session {
  /** Host, port and name; no password. */
  place: string;
  user: string;
  server: string;
  /** Of the database, and of this package. */
  version: string | null;
  packageVersion: string;
  /** Why nothing can be changed; null when it can. */
  readOnly: string | null;
  /** False: the exact limits cannot be asked for, and stored numbers are shown instead. */
  isTrusted: boolean;
  features: Feature[];
  plans: { plan: string; name: string; isDefault: boolean; isRetired: boolean }[];
}

export interface Feature {
  feature: string;
  name: string;
  unit: string;
  kind: 'metered' | 'gauge' | 'switch' | 'value';
}

export type Unit = 'hour' | 'day' | 'month';

/** A bucket of time, per feature; null: not read yet, since the ledger is long. */
export interface UsageBucket {
  from: string;
  features: Record<string, { used: number; lines: number; returned: number }> | null;
}

export interface UsageOverview {
  unit: Unit;
  buckets: UsageBucket[];
  isComplete: boolean;
  /** Per feature, over the same time: what is known of refusals, which write nothing. */
  reached: Record<string, number>;
  shadow: Record<string, number>;
}

export interface NearRow {
  subject: string;
  feature: string;
  period: string;
  used: number;
  reserved: number;
  limit: number | null;
  remaining: number | null;
  percent_used: number | null;
  resets_at: string | null;
  status: Status;
}

export type Status = 'ok' | 'warning' | 'at_limit' | 'over_limit';

export interface Page<Row> {
  rows: Row[];
  /** Hand it back for the next page; null: there is none. */
  next: string | null;
}

export interface SubjectRow {
  subject: string;
  plan: string | null;
  plan_ends_at: string | null;
  parent: string | null;
  /** The fullest of its running limits. */
  feature: string | null;
  period: string | null;
  used: number | null;
  limit: number | null;
  percent_used: number | null;
  status: Status | null;
}

export interface Attention {
  holds: Hold[];
  alerts: Alert[];
  undelivered: number;
  growth: { table: string; bytes: number; rows: number }[];
  subjects: number;
}

export interface Hold {
  subject: string;
  reservation_id: string;
  feature: string;
  amount: number;
  reserved_at: string;
  expires_at: string;
  state: 'open' | 'expired' | 'committed' | 'released';
  actor: string | null;
  is_overdue: boolean;
}

export interface Alert {
  subject: string;
  feature: string;
  period: string;
  threshold: number;
  at: string;
  used: number;
  limit: number;
}

export interface Limit {
  feature: string;
  subject: string;
  plan: string | null;
  period: string | null;
  source: string;
  limit: number | null;
  used: number;
  reserved: number;
  remaining: number | null;
  unlimited: boolean;
  granted: number;
  resets_at: string | null;
  refuses: boolean;
  retry_after: number | null;
  top_up: number | null;
  plans: string[] | null;
  projected: number | null;
  exhausted_at: string | null;
  carried: number;
  mode: string | null;
  ceiling: number | null;
  /** Whose cap it is, within what the subject has; null: a limit of the subject. */
  member: string | null;
}

export interface Grant {
  grant_id: string;
  feature: string;
  amount: number;
  drawn: number;
  left: number;
  granted_at: string;
  expires_at: string | null;
  state: 'open' | 'spent' | 'expired' | 'void';
  metadata: Record<string, unknown>;
}

export interface LedgerLine {
  subject: string;
  event_id: string;
  at: string;
  kind: string;
  feature: string | null;
  counts_at: string;
  used_change: number;
  reserved_change: number;
  drawn_change: number;
  about_id: string | null;
  grant_id: string | null;
  actor: string | null;
  idempotency_key: string | null;
  metadata: Record<string, unknown>;
  over: Record<string, number> | null;
}

export interface Subject {
  subject: string;
  /** False: the database has never met it; the default plan holds. */
  isKnown: boolean;
  at: string;
  plan: string | null;
  put_on: string | null;
  plan_ends_at: string | null;
  anchor_at: string | null;
  time_zone: string;
  parents: string[];
  children: string[];
  members: string[];
  organisations: string[];
  /** One per limit and open grant; of a role that may only read, from stored numbers. */
  limits: Limit[];
  limitsRefused: Refusal | null;
  entitlements: { feature: string; kind: string; enabled: boolean; value: unknown }[];
  caps: (Snapshot['limits'][number] & { resets_at: string | null })[];
  exceptions: {
    member: string | null;
    feature: string;
    period: string;
    limit: number | null;
    ends_at: string | null;
  }[];
  grants: Grant[];
  holds: Hold[];
  alerts: Alert[];
  history: LedgerLine[];
  lines: number | null;
}

/** What held at an instant: from the ledger alone. */
export interface Moment {
  from: string;
  until: string;
  limits: {
    feature: string;
    /** Itself, or a level above. */
    subject: string;
    period: string;
    period_start: string | null;
    resets_at: string | null;
    /** At the end of the minute. */
    used: number;
    reserved: number;
    /** The limit as it is now, and then: at the last call of that period, less what was granted since. */
    limit: number | null;
    limitThen: number | null;
    wasFull: boolean;
  }[];
  /** Changes of plan, limit and grants since: they say whether `limit` held then. */
  changes: LedgerLine[];
  before: LedgerLine[];
  within: LedgerLine[];
  after: LedgerLine[];
}

export interface ChartOf {
  unit: Unit;
  buckets: { from: string; used: number; lines: number }[];
}

export type ActionName =
  | 'set_plan'
  | 'grant'
  | 'take_back'
  | 'set_limit'
  | 'clear_limit'
  | 'reset'
  | 'refund'
  | 'release'
  | 'forget';

export interface Act {
  action: ActionName;
  subject: string;
  reason: string;
  /** Makes a second click the same as the first, where the function takes a key. */
  key: string;
  arguments: Record<string, string | number | null>;
}

/** What an action did, or would do: the subject before and after, and the lines that it wrote. */
export interface Effect {
  applied: boolean;
  statement: string;
  answer: unknown;
  before: Snapshot;
  after: Snapshot;
  lines: LedgerLine[];
}

export interface Snapshot {
  isKnown: boolean;
  plan: string | null;
  plan_ends_at: string | null;
  anchor_at: string | null;
  time_zone: string;
  limits: Pick<
    Limit,
    | 'feature'
    | 'subject'
    | 'period'
    | 'source'
    | 'limit'
    | 'used'
    | 'reserved'
    | 'remaining'
    | 'unlimited'
    | 'mode'
    | 'member'
  >[];
  grants: number;
  holds: number;
  lines: number;
}

export interface Fault {
  message: string;
  /** Offsets in the text; null: of the document as a whole. */
  from: number | null;
  to: number | null;
}

export interface Change {
  action: 'add' | 'change' | 'remove';
  kind: string;
  id: string;
  detail: string | null;
}

export interface Judgement {
  faults: Fault[];
  changes: Change[];
  refusal: Refusal | null;
}

export interface Impact {
  subject: string;
  former_plan: string | null;
  plan: string;
  at: string;
  is_later: boolean;
  feature: string;
  period: string;
  used: number;
  limit: number;
  over: number;
}

export interface Spot {
  what: string;
  why: string;
  statement: string | null;
  level: 'wrong' | 'note';
}

export interface Verification {
  done: number;
  total: number;
  next: string | null;
  mismatches: {
    subject: string;
    feature: string;
    period: string;
    period_start: string | null;
    counted: number;
    ledger: number;
  }[];
}
