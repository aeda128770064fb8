/**
 * What one signed-in user has used, as the database last said it. One store belongs to one user: when
 * somebody else signs in there is a new, empty one, and an answer that is still on its way to the
 * former has nowhere to go.
 */
import type { CurrentUsage, Entitlement, UsageClient } from 'pgquota';

export interface RowsState<Row> {
  /** null until the first answer. */
  rows: Row[] | null;
  /** Why the last question failed; the rows are those of before. */
  error: string | null;
  /** When the rows were read, in milliseconds; null before the first answer. */
  answeredAt: number | null;
}

export type UsageState = RowsState<CurrentUsage>;

export interface Store<State> {
  /** Tells `changed` of each answer, and asks as long as somebody listens. */
  subscribe(changed: () => void): () => void;
  read(): State;
  /** What there was before anything was asked: what a server renders. */
  readInitial(): State;
  refresh(): Promise<void>;
}

/** An answer is asked again when it is so old. */
const MAX_AGE = 60_000;
/** While something is held, which may end at any moment: the first pause, and the longest. */
const SHORTEST_PAUSE = 1000;
const LONGEST_PAUSE = 15_000;
/** So long after a period's end: clocks differ a little. */
const AFTER_RESET = 500;

export const createUsageStore = (usage: UsageClient, initialRows: CurrentUsage[] | null) =>
  createRowsStore(
    () =>
      usage
        .from('current_usage')
        .select('*')
        .order('feature')
        .order('period')
        .order('member', { nullsFirst: true }),
    initialRows,
  );

export const createEntitlementsStore = (usage: UsageClient, initialRows: Entitlement[] | null) =>
  createRowsStore(() => usage.from('entitlements').select('*').order('feature'), initialRows);

/** What a row may say of when it is out of date. */
type Row = { subject: string; resets_at?: string | null; reserved?: number };

function createRowsStore<R extends Row>(
  question: () => PromiseLike<{ data: unknown; error: { message: string } | null }>,
  initialRows: R[] | null,
): Store<RowsState<R>> {
  const listeners = new Set<() => void>();
  const initial: RowsState<R> = { rows: initialRows, error: null, answeredAt: null };
  let state = initial;
  let askedAt = 0;
  let latest = 0;
  let pause = SHORTEST_PAUSE;
  let timer: ReturnType<typeof setTimeout> | undefined;

  async function ask() {
    const mine = ++latest;
    const answer = await read<R>(question);
    // An answer to an older question would show the state before an action again.
    if (mine !== latest) return;
    askedAt = Date.now();
    state =
      typeof answer === 'string'
        ? { ...state, error: answer }
        : { rows: answer, error: null, answeredAt: askedAt };
    for (const changed of listeners) changed();
    if (listeners.size) plan();
  }

  function refresh() {
    pause = SHORTEST_PAUSE;
    return ask();
  }

  /** The next question: when a period or a hold may have ended, or the answer is a minute old. */
  function plan() {
    clearTimeout(timer);
    const rows = state.rows ?? [];
    const ends = rows.flatMap((row) => (row.resets_at ? [Date.parse(row.resets_at)] : []));
    let due = askedAt + MAX_AGE;
    for (const end of ends) if (end > askedAt) due = Math.min(due, end + AFTER_RESET);
    // A hold ends when its work does. A period that should be over is, when the server's clock says so.
    if (rows.some((row) => (row.reserved ?? 0) > 0) || ends.some((end) => end <= askedAt)) {
      due = Math.min(due, askedAt + pause);
      pause = Math.min(pause * 1.5, LONGEST_PAUSE);
    }
    timer = setTimeout(
      () => {
        // A page that nobody looks at asks nothing; it will when it is looked at.
        if (document.visibilityState === 'visible') ask();
      },
      Math.max(0, due - Date.now()),
    );
  }

  const onFocus = () => {
    if (document.visibilityState === 'visible') refresh();
  };

  return {
    read: () => state,
    readInitial: () => initial,
    refresh,
    subscribe(changed) {
      if (listeners.size === 0) {
        window.addEventListener('focus', onFocus);
        window.addEventListener('online', onFocus);
        document.addEventListener('visibilitychange', onFocus);
        plan();
      }
      listeners.add(changed);
      return () => {
        listeners.delete(changed);
        if (listeners.size > 0) return;
        clearTimeout(timer);
        window.removeEventListener('focus', onFocus);
        window.removeEventListener('online', onFocus);
        document.removeEventListener('visibilitychange', onFocus);
      };
    },
  };
}

/** The rows, or why there are none. */
async function read<R>(
  question: () => PromiseLike<{ data: unknown; error: { message: string } | null }>,
): Promise<R[] | string> {
  try {
    const { data, error } = await question();
    if (error) return error.message || 'no answer';
    return (data as R[] | null) ?? 'no answer';
  } catch (error) {
    return String(error);
  }
}

/** Of a user who is not known yet, or of nobody: nothing, and nothing is asked. */
export const NOBODY: Store<RowsState<never>> = (() => {
  const nothing: RowsState<never> = { rows: null, error: null, answeredAt: null };
  return {
    read: () => nothing,
    readInitial: () => nothing,
    refresh: async () => {},
    subscribe: () => () => {},
  };
})();
