'use client';
/** Who is signed in, and what they have used: all parts below it read the same rows. */
import { type CurrentUsage, createUsageClient, type Entitlement, type UsageClient } from 'pgquota';
import {
  createContext,
  type ReactNode,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useState,
  useSyncExternalStore,
} from 'react';
import { createPlansStore, type PlansState } from './plans.ts';
import {
  createEntitlementsStore,
  createUsageStore,
  NOBODY,
  type RowsState,
  type Store,
  type UsageState,
} from './store.ts';
import { createFormat, ENGLISH, type UsageFormat, type UsageWords } from './words.ts';

/** What createUsageClient takes: a SupabaseClient or PostgrestClient with the user's own token. */
export type UsageSource = Parameters<typeof createUsageClient>[0];

export interface UsageProviderProps {
  client: UsageSource;
  /**
   * The id of who is signed in, null for nobody. When it changes, nothing of the former user is
   * shown. Leave it out to follow the sessions of Supabase Auth.
   */
  user?: string | null;
  /** Whose usage is shown where a part does not say: an organisation's id. Default: the user's own. */
  subject?: string;
  /** Rows of current_usage that the server has read for this user, for the first paint. Needs `user`. */
  initialRows?: CurrentUsage[];
  /** The same of the view entitlements. */
  initialEntitlements?: Entitlement[];
  /** Of numbers and dates. Default: the browser's; `en` on the server. */
  locale?: string;
  /** Other words than the English ones. */
  words?: Partial<UsageWords>;
  children?: ReactNode;
}

interface Context {
  usage: UsageClient;
  /** undefined while it is not known who is signed in. */
  user: string | null | undefined;
  subject: string | undefined;
  store: Store<UsageState>;
  entitlements: Store<RowsState<Entitlement>>;
  plans: Store<PlansState>;
  format: UsageFormat;
}

const UsageContext = createContext<Context | null>(null);

export function UsageProvider(props: UsageProviderProps) {
  const { client, subject, initialRows, initialEntitlements, words, children } = props;
  const followed = useSession(client, props.user === undefined);
  const user = props.user === undefined ? followed : props.user;
  const locale = useLocale(props.locale);

  const usage = useMemo(() => createUsageClient(client), [client]);
  // What the server has read is that user's alone.
  const [initial] = useState({
    user: props.user,
    rows: initialRows ?? null,
    entitlements: initialEntitlements ?? null,
  });
  const store = useMemo(
    () =>
      user === undefined || user === null
        ? NOBODY
        : createUsageStore(usage, user === initial.user ? initial.rows : null),
    [usage, user, initial],
  );
  const entitlements = useMemo(
    () =>
      user === undefined || user === null
        ? NOBODY
        : createEntitlementsStore(usage, user === initial.user ? initial.entitlements : null),
    [usage, user, initial],
  );
  const plans = useMemo(() => createPlansStore(usage), [usage]);
  const format = useMemo(() => createFormat(locale, { ...ENGLISH, ...words }), [locale, words]);
  const context = useMemo(
    () => ({
      usage,
      user,
      subject: subject ?? user ?? undefined,
      store,
      entitlements,
      plans,
      format,
    }),
    [usage, user, subject, store, entitlements, plans, format],
  );
  return <UsageContext.Provider value={context}>{children}</UsageContext.Provider>;
}

/** For the parts of this package. */
export function useUsageContext(): Context {
  const context = useContext(UsageContext);
  if (!context) throw new Error('There is no <UsageProvider> around this part of the page');
  return context;
}

export interface UseUsageOptions {
  /** Default: what the provider says. */
  subject?: string;
  /** Only this feature's rows. */
  feature?: string;
  /** Caps of members within what an organisation has: the user's own (the default), or all it may see. */
  members?: 'own' | 'all';
}

export interface Usage extends UsageState {
  /** The row with least room, in units; null without rows, and when all are unlimited. */
  tightest: CurrentUsage | null;
  /** The plan that the rows are of. */
  plan: string | null;
  /** The IANA zone by whose calendar the subject's periods run. */
  timeZone: string | undefined;
  /** Asks anew, and all parts show it: call it after an action. */
  refresh(): Promise<void>;
}

/** The rows of `current_usage`, as all parts of the page show them. */
export function useUsage({ subject, feature, members = 'own' }: UseUsageOptions = {}): Usage {
  const context = useUsageContext();
  const { store, entitlements, plans } = context;
  const state = useSyncExternalStore(store.subscribe, store.read, store.readInitial);
  const whose = subject ?? context.subject;
  const { user } = context;
  const refresh = useCallback(async () => {
    const { rows, error } = entitlements.read();
    await Promise.all([
      store.refresh(),
      // An upgrade brings them; a page that does not show them does not ask.
      (rows !== null || error !== null) && entitlements.refresh(),
      plans.read().error !== null && plans.refresh(),
    ]);
  }, [store, entitlements, plans]);

  return useMemo(() => {
    const rows =
      state.rows?.filter(
        (row) =>
          row.subject === whose &&
          (feature === undefined || row.feature === feature) &&
          (members === 'all' || (row.member ?? user) === user),
      ) ?? null;
    const tightest = rows?.reduce<CurrentUsage | null>(
      (least, row) =>
        roomIn(row) < (least ? roomIn(least) : Number.POSITIVE_INFINITY) ? row : least,
      null,
    );
    return {
      ...state,
      rows,
      tightest: tightest ?? null,
      plan: rows?.find((row) => row.plan !== null)?.plan ?? null,
      timeZone: rows?.[0]?.time_zone,
      refresh,
    };
  }, [state, whose, feature, members, user, refresh]);
}

const roomIn = (row: CurrentUsage) => row.remaining ?? Number.POSITIVE_INFINITY;

/** The plans that are on offer, smallest first. Needs nobody to be signed in. */
export function usePlans(): PlansState & { nameOf(plan: string): string } {
  const { plans } = useUsageContext();
  const state = useSyncExternalStore(plans.subscribe, plans.read, plans.readInitial);
  return {
    ...state,
    nameOf: (id) => state.plans?.find(({ plan }) => plan === id)?.name ?? id,
  };
}

/** The words of the provider, and numbers and instants as it writes them. */
export function useUsageFormat(): UsageFormat {
  return useUsageContext().format;
}

interface Sessions {
  onAuthStateChange(changed: (event: string, session: { user: { id: string } } | null) => void): {
    data: { subscription: { unsubscribe(): void } };
  };
}

/** The user of Supabase Auth's session; undefined until it is known. */
function useSession(client: UsageSource, isWanted: boolean): string | null | undefined {
  const [known, setKnown] = useState<{ client: UsageSource; user: string | null }>();
  useEffect(() => {
    if (!isWanted) return;
    const { data } = sessionsOf(client).onAuthStateChange((_, session) => {
      setKnown((former) => {
        const user = session?.user.id ?? null;
        return former?.client === client && former.user === user ? former : { client, user };
      });
    });
    return () => data.subscription.unsubscribe();
  }, [client, isWanted]);
  return known?.client === client ? known.user : undefined;
}

function sessionsOf(client: UsageSource): Sessions {
  try {
    const { auth } = client as unknown as { auth?: Sessions };
    if (auth?.onAuthStateChange) return auth;
  } catch {
    // A client that is given tokens (accessToken) throws when it is asked for sessions.
  }
  throw new Error(
    'UsageProvider needs `user`, the id of who is signed in (null for nobody): this client has no ' +
      'sessions of Supabase Auth that it could follow',
  );
}

const never = () => () => {};

/** On the server, and for the first render in the browser, `en`: so both write the same. */
function useLocale(given: string | undefined): string {
  const own = useSyncExternalStore(
    never,
    () => navigator.language,
    () => 'en',
  );
  return given ?? own;
}
