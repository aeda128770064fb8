/** The plans that are on offer, smallest first. The same for everybody, so they are read once. */
import type { Period, PlanCatalog, UsageClient } from 'pgquota';
import type { Store } from './store.ts';

export type PlanLimit = PlanCatalog & { period: Period };

export interface Plan {
  plan: string;
  name: string;
  isDefault: boolean;
  /** Where it sends who wants more. */
  upgradeUrl: string | null;
  limits: PlanLimit[];
  /** Its switches and values. */
  values: PlanCatalog[];
}

export interface PlansState {
  /** null until the first answer. */
  plans: Plan[] | null;
  error: string | null;
}

export function createPlansStore(usage: UsageClient): Store<PlansState> {
  const listeners = new Set<() => void>();
  const initial: PlansState = { plans: null, error: null };
  let state = initial;
  let isAsking = false;

  async function refresh() {
    if (isAsking) return;
    isAsking = true;
    try {
      const { data, error } = await usage.from('plan_catalog').select('*');
      state = error
        ? { ...state, error: error.message || 'no answer' }
        : { plans: groupPlans((data as PlanCatalog[] | null) ?? []), error: null };
    } catch (error) {
      state = { ...state, error: String(error) };
    }
    isAsking = false;
    for (const changed of listeners) changed();
  }

  return {
    read: () => state,
    readInitial: () => initial,
    refresh,
    subscribe(changed) {
      listeners.add(changed);
      if (!state.plans) refresh();
      return () => listeners.delete(changed);
    },
  };
}

export function groupPlans(rows: PlanCatalog[]): Plan[] {
  const plans = new Map<string, Plan>();
  for (const row of rows) {
    const plan = plans.get(row.plan) ?? {
      plan: row.plan,
      name: row.plan_name,
      isDefault: row.is_default,
      upgradeUrl: row.upgrade_url,
      limits: [],
      values: [],
    };
    if (isLimit(row)) plan.limits.push(row);
    else plan.values.push(row);
    plans.set(row.plan, plan);
  }
  const all = [...plans.values()];
  const wins = new Map(all.map((plan) => [plan, countWins(plan, all)]));
  return all.sort((a, b) => (wins.get(a) ?? 0) - (wins.get(b) ?? 0) || (a.plan < b.plan ? -1 : 1));
}

const isLimit = (row: PlanCatalog): row is PlanLimit => row.period !== null;

/** What a plan allows; a period that it does not limit has no end, a feature it does not name is none. */
export function roomOf(plan: Plan, feature: string, period: string): number {
  const limits = plan.limits.filter((row) => row.feature === feature);
  if (limits.length === 0) return -1;
  return limits.find((row) => row.period === period)?.limit ?? Number.POSITIVE_INFINITY;
}

function countWins(plan: Plan, all: Plan[]): number {
  return all
    .flatMap((other) => other.limits.map((row) => [other, row] as const))
    .concat(plan.limits.flatMap((row) => all.map((other) => [other, row] as const)))
    .filter(
      ([other, { feature, period }]) =>
        roomOf(plan, feature, period) > roomOf(other, feature, period),
    ).length;
}

/** Whether another plan allows more than this limit, and than the plan it comes from. */
export function hasLargerPlan(
  plans: Plan[],
  row: { plan: string | null; feature: string; period: string; limit: number | null },
): boolean {
  const own = plans.find(({ plan }) => plan === row.plan);
  const present = Math.max(
    own ? roomOf(own, row.feature, row.period) : -1,
    row.limit ?? Number.POSITIVE_INFINITY,
  );
  return plans.some((plan) => roomOf(plan, row.feature, row.period) > present);
}
