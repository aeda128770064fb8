/**
 * What a subject has used and may use: one file to take along, with React 19 and supabase-js only. It
 * reads the view `current_usage` under row level security with the user's own token.
 *
 *   <UsageIndicator supabase={supabase} />
 *   await generate(); refreshUsage(supabase);
 *
 * Asked again on focus, after refreshUsage(), when a period ends, and otherwise once a minute.
 */
import type { SupabaseClient } from '@supabase/supabase-js';
import { useSyncExternalStore } from 'react';

export interface UsageRow {
  subject: string;
  feature: string;
  feature_name: string;
  unit: string;
  plan: string | null;
  period: 'minute' | 'hour' | 'day' | 'week' | 'month' | 'year' | 'lifetime';
  used: number;
  reserved: number;
  limit: number | null;
  remaining: number | null;
  percent_used: number | null;
  resets_at: string | null;
  status: 'ok' | 'warning' | 'at_limit' | 'over_limit';
  granted: number;
}

export interface Usage {
  /** null until the first answer. */
  rows: UsageRow[] | null;
  /** Why the last question failed; the rows are those of before. */
  error: string | null;
  /** When the rows were read, in milliseconds. */
  answeredAt: number | null;
}

const MAX_AGE = 60_000;

/** Asks anew, and all indicators of this client show it. */
export function refreshUsage(supabase: SupabaseClient): Promise<void> {
  return storeOf(supabase).refresh();
}

/** The rows themselves, for a page that shows them otherwise. Shared by all who use this client. */
export function useUsage(supabase: SupabaseClient): Usage {
  const store = storeOf(supabase);
  return useSyncExternalStore(store.subscribe, store.read, store.read);
}

export interface UsageIndicatorProps {
  supabase: SupabaseClient;
  /** Default: all that the user may see. An organisation's id shows that one. */
  subject?: string;
  /** Features to show, in this order. Default: all. */
  features?: string[];
  /** How many rows the space is kept for until the first answer. */
  expected?: number;
}

export function UsageIndicator({
  supabase,
  subject,
  features,
  expected = features?.length ?? 3,
}: UsageIndicatorProps) {
  const { rows, error, answeredAt } = useUsage(supabase);
  const shown = rows
    ?.filter((row) => subject === undefined || row.subject === subject)
    .filter((row) => !features || features.includes(row.feature))
    .sort((a, b) => (features ? features.indexOf(a.feature) - features.indexOf(b.feature) : 0));

  return (
    <section className="usage" aria-label="Usage" aria-busy={rows === null && error === null}>
      <style href="usage-indicator" precedence="medium">
        {STYLE}
      </style>
      <ul className="usage-rows">
        {shown
          ? shown.map((row) => (
              <UsageMeter key={`${row.subject}/${row.feature}/${row.period}`} row={row} />
            ))
          : Array.from({ length: expected }, (_, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
              <li className="usage-row usage-waiting" key={at} aria-hidden />
            ))}
      </ul>
      <p className="usage-note">
        <span>
          {error !== null
            ? rows
              ? 'These numbers may be out of date.'
              : 'Usage cannot be shown at the moment.'
            : answeredAt === null
              ? 'Loading usage …'
              : `As of ${new Date(answeredAt).toLocaleTimeString()}`}
        </span>
        <button type="button" onClick={() => refreshUsage(supabase)}>
          {error === null ? 'Refresh' : 'Try again'}
        </button>
      </p>
      <p className="usage-hidden" role="status">
        {error === null ? announce(shown ?? []) : 'Usage could not be read.'}
      </p>
    </section>
  );
}

function UsageMeter({ row }: { row: UsageRow }) {
  const { feature_name, unit, used, reserved, limit, granted, period, status } = row;
  const taken = used + reserved;
  const share = (amount: number) => (limit ? Math.min(100, (100 * amount) / limit) : 100);
  const notes = [
    reserved > 0 && `${format(reserved)} reserved`,
    granted > 0 && `${format(granted)} extra, does not reset`,
    row.resets_at ? `resets ${formatInstant(row.resets_at)}` : period === 'lifetime' && 'in total',
  ].filter(Boolean);
  const amount = limit === null ? `${format(used)} · ∞` : `${format(used)} of ${format(limit)}`;
  const spoken =
    limit === null ? `${format(used)} used, unlimited` : `${amount} ${plural(unit, limit)} used`;

  return (
    <li className="usage-row" data-status={status} data-feature={row.feature} data-period={period}>
      <div className="usage-head">
        <span className="usage-name">
          {feature_name}
          {period !== 'lifetime' && <small> per {period}</small>}
        </span>
        {status !== 'ok' && <span className="usage-badge">{STATUS[status]}</span>}
        <span className="usage-amount" aria-hidden>
          {amount}
        </span>
      </div>
      {limit === null ? (
        <div className="usage-bar usage-unlimited">
          <span className="usage-hidden">{spoken}</span>
        </div>
      ) : (
        // biome-ignore lint/a11y/useSemanticElements: <meter> cannot show what is reserved
        <div
          className="usage-bar"
          role="meter"
          aria-label={`${feature_name} per ${period}`}
          aria-valuemin={0}
          aria-valuemax={limit}
          aria-valuenow={Math.min(taken, limit)}
          aria-valuetext={[spoken, ...notes].join(', ')}
        >
          <span className="usage-used" style={{ inlineSize: `${share(used)}%` }} />
          <span
            className="usage-reserved"
            style={{ inlineSize: `${share(taken) - share(used)}%` }}
          />
        </div>
      )}
      <div className="usage-foot">{notes.join(' · ')}</div>
    </li>
  );
}

const STATUS = {
  warning: 'Nearly used up',
  at_limit: 'Limit reached',
  over_limit: 'Over the limit',
};

function announce(rows: UsageRow[]): string {
  const at = rows.filter((row) => row.status === 'at_limit' || row.status === 'over_limit');
  const near = rows.filter((row) => row.status === 'warning');
  const names = (some: UsageRow[]) => some.map((row) => row.feature_name).join(', ');
  return [
    at.length > 0 && `No room left: ${names(at)}.`,
    near.length > 0 && `Nearly used up: ${names(near)}.`,
  ]
    .filter(Boolean)
    .join(' ');
}

const format = (amount: number) => amount.toLocaleString();
const plural = (unit: string, amount: number) => (amount === 1 ? unit : `${unit}s`);

/** In the viewer's own zone, with its name. */
export function formatInstant(instant: string): string {
  return new Date(instant).toLocaleString(undefined, {
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    timeZoneName: 'short',
  });
}

interface Store {
  subscribe(changed: () => void): () => void;
  read(): Usage;
  refresh(): Promise<void>;
}

const stores = new WeakMap<SupabaseClient, Store>();

function storeOf(supabase: SupabaseClient): Store {
  let store = stores.get(supabase);
  if (!store) {
    store = createStore(supabase);
    stores.set(supabase, store);
  }
  return store;
}

function createStore(supabase: SupabaseClient): Store {
  const listeners = new Set<() => void>();
  let usage: Usage = { rows: null, error: null, answeredAt: null };
  let askedAt = 0;
  let latest = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function refresh() {
    const mine = ++latest;
    const { data, error } = await supabase
      .from('current_usage')
      .select(
        'subject,feature,feature_name,unit,plan,period,used,reserved,limit,remaining,percent_used,resets_at,status,granted',
      )
      .order('feature')
      .order('period');
    // An answer to an older question would show the state before an action again.
    if (mine !== latest) return;
    usage = error
      ? { ...usage, error: error.message || 'no answer' }
      : { rows: data as UsageRow[], error: null, answeredAt: Date.now() };
    askedAt = Date.now();
    for (const changed of listeners) changed();
    if (listeners.size) plan();
  }

  /** The next question: at the end of the first period to end, or when the answer is a minute old. */
  function plan() {
    clearTimeout(timer);
    const ends = (usage.rows ?? [])
      .map((row) => (row.resets_at ? Date.parse(row.resets_at) : Number.POSITIVE_INFINITY))
      .filter((end) => end > askedAt);
    const due = Math.min(askedAt + MAX_AGE, ...ends.map((end) => end + 500));
    timer = setTimeout(
      () => {
        // A page that nobody looks at asks nothing; it will when it is looked at.
        if (document.visibilityState === 'visible') refresh();
      },
      Math.max(0, due - Date.now()),
    );
  }

  const onFocus = () => {
    if (document.visibilityState === 'visible') refresh();
  };

  return {
    read: () => usage,
    refresh,
    subscribe(changed) {
      if (listeners.size === 0) {
        window.addEventListener('focus', onFocus);
        document.addEventListener('visibilitychange', onFocus);
        plan();
      }
      listeners.add(changed);
      return () => {
        listeners.delete(changed);
        if (listeners.size > 0) return;
        clearTimeout(timer);
        window.removeEventListener('focus', onFocus);
        document.removeEventListener('visibilitychange', onFocus);
      };
    },
  };
}

/** Colours follow the page's light or dark scheme; override the custom properties to make it yours. */
const STYLE = `
.usage {
  --usage-ok: light-dark(#2f6f4f, #58b487);
  --usage-warning: light-dark(#8a5a00, #e0a63c);
  --usage-full: light-dark(#b3261e, #f28b82);
  --usage-track: light-dark(#e6e8ec, #343943);
  --usage-quiet: light-dark(#5b6270, #a3abb8);
}
.usage-rows { list-style: none; margin: 0; padding: 0; display: grid; grid-template-columns: minmax(0, 1fr); gap: 1rem; }
.usage-row { --usage-colour: var(--usage-ok); display: grid; grid-template: 1.5rem 0.5rem 1.25rem / minmax(0, 1fr); row-gap: 0.3rem; min-block-size: 3.85rem; }
.usage-row[data-status='warning'] { --usage-colour: var(--usage-warning); }
.usage-row[data-status='at_limit'], .usage-row[data-status='over_limit'] { --usage-colour: var(--usage-full); }
.usage-head { display: flex; align-items: center; gap: 0.5rem; white-space: nowrap; }
.usage-name { font-weight: 600; min-inline-size: 4rem; overflow: hidden; text-overflow: ellipsis; }
.usage-name small { font-weight: 400; color: var(--usage-quiet); font-size: 0.85em; }
.usage-amount { margin-inline-start: auto; font-variant-numeric: tabular-nums; }
.usage-badge { font-size: 0.75rem; line-height: 1.25rem; padding-inline: 0.45rem; border-radius: 1rem; color: var(--usage-colour); border: 1px solid currentColor; }
.usage-bar { display: flex; border-radius: 0.25rem; overflow: hidden; background: var(--usage-track); }
.usage-used, .usage-reserved { background: var(--usage-colour); transition: inline-size 0.3s ease-out; }
.usage-reserved { opacity: 0.45; }
.usage-unlimited { background: repeating-linear-gradient(90deg, var(--usage-colour) 0 0.4rem, transparent 0.4rem 0.8rem); opacity: 0.6; }
.usage-foot { color: var(--usage-quiet); font-size: 0.8125rem; line-height: 1.25rem; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.usage-waiting { background: var(--usage-track); border-radius: 0.5rem; opacity: 0.6; animation: usage-waiting 1.2s ease-in-out infinite alternate; }
.usage-note { display: flex; justify-content: space-between; margin: 1rem 0 0; min-block-size: 1.5rem; font-size: 0.8125rem; line-height: 1.5rem; color: var(--usage-quiet); }
.usage-note button { font: inherit; color: inherit; background: none; border: 0; padding: 0; text-decoration: underline; cursor: pointer; }
.usage-hidden { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); }
@keyframes usage-waiting { to { opacity: 0.25; } }
@media (prefers-reduced-motion: reduce) {
  .usage-used, .usage-reserved { transition: none; }
  .usage-waiting { animation: none; }
}
@media (forced-colors: active) {
  .usage-bar { border: 1px solid CanvasText; forced-color-adjust: none; }
}
`;
