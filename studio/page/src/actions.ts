/** What support does, as forms: which fields, and in what words it is confirmed. */
import type { ActionName, Grant, Hold, LedgerLine, Session, Subject } from '../../server/shapes.ts';

export type Given = Record<string, string | number | null>;

export interface Asked {
  action: ActionName;
  given: Given;
  /** What it is about, where it is about something. */
  note?: Grant | Hold | LedgerLine;
}

export const TITLES: Record<ActionName, string> = {
  set_plan: 'Change plan',
  grant: 'Grant',
  take_back: 'Take back a grant',
  set_limit: 'Exception',
  clear_limit: 'End the exception',
  reset: 'Fresh start',
  refund: 'Refund',
  release: 'Release the hold',
  forget: 'Forget',
};

export const SAYS: Record<ActionName, string> = {
  set_plan:
    'The new limits hold at once, also for calls that are waiting. What was used so far stays.',
  grant:
    'Extra allowance, used after what the plan allows. It stays over resets and changes of plan.',
  take_back: 'What is left of it, or a part. What was drawn from it stays drawn.',
  set_limit: 'A limit of its own in place of the plan’s, which ends by itself.',
  clear_limit: 'What the plan says holds again, at once.',
  reset: 'What was used in the running period is 0 again. The period ends when it would have.',
  refund: 'Gives back what a line counted, in the period it was counted in, and never more.',
  release: 'The work behind it failed or was abandoned: what it held is free again.',
  forget:
    'Erases everything that is known of the subject, the ledger too. It cannot be undone, and no line keeps a reason.',
};

export interface Field {
  name: string;
  label: string;
  kind: 'text' | 'number' | 'instant' | 'choice';
  options?: [value: string, text: string][];
  placeholder?: string;
  isRequired?: boolean;
  hint?: string;
}

const PERIODS = ['minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime'];

export function fieldsOf(
  action: ActionName,
  session: Session,
  data: Subject,
  given: Given,
): Field[] {
  const counted = session.features.filter(({ kind }) => kind === 'metered' || kind === 'gauge');
  const metered = counted.filter(({ kind }) => kind === 'metered');
  const feature = (all: typeof counted): Field => ({
    name: 'feature',
    label: 'Feature',
    kind: 'choice',
    options: all.map((one) => [one.feature, one.name]),
    isRequired: true,
  });
  const ownPeriods = data.limits.flatMap((limit) =>
    limit.feature === given.feature && limit.period ? [limit.period] : [],
  );
  switch (action) {
    case 'set_plan':
      return [
        {
          name: 'plan',
          label: 'Plan',
          kind: 'choice',
          options: session.plans
            .filter(({ isRetired, plan }) => !isRetired || plan === data.put_on)
            .map(({ plan, name }) => [plan, name]),
          isRequired: true,
        },
        { name: 'ends_at', label: 'Until', kind: 'instant', hint: 'empty: never' },
        {
          name: 'anchor',
          label: 'Periods from',
          kind: 'instant',
          hint: 'empty: as now',
        },
      ];
    case 'grant':
      return [
        feature(counted),
        { name: 'amount', label: 'Amount', kind: 'number', isRequired: true },
        { name: 'expires_at', label: 'Until', kind: 'instant', hint: 'empty: never' },
      ];
    case 'take_back':
      return [{ name: 'amount', label: 'Amount', kind: 'number', hint: 'empty: all that is left' }];
    case 'set_limit':
      return [
        feature(counted),
        {
          name: 'period',
          label: 'Per',
          kind: 'choice',
          options: [...new Set([...ownPeriods, ...PERIODS])].map((period) => [period, period]),
          isRequired: true,
        },
        { name: 'limit', label: 'Limit', kind: 'number', hint: 'empty: unlimited' },
        { name: 'member', label: 'Member', kind: 'text', hint: 'empty: the subject' },
        {
          name: 'ends_at',
          label: 'Until',
          kind: 'instant',
          hint: 'empty: never',
        },
      ];
    case 'reset':
      return [
        feature(metered),
        {
          name: 'period',
          label: 'Period',
          kind: 'choice',
          options: [['', 'all that run'], ...ownPeriods.map((one): [string, string] => [one, one])],
        },
      ];
    case 'refund':
      return [{ name: 'amount', label: 'Amount', kind: 'number', hint: 'empty: all of it' }];
    default:
      return [];
  }
}

/** What a form begins with: what is chosen already, else the first that is possible. */
export function beginOf(asked: Asked, session: Session, data: Subject): Given {
  const given: Given = { ...asked.given };
  // The feature with least room first: it is why they call.
  const tight = data.limits
    .filter(({ period, unlimited, subject }) => period && !unlimited && subject === data.subject)
    .toSorted((a, b) => Number(b.refuses) - Number(a.refuses) || share(b) - share(a))[0];
  if (['grant', 'set_limit', 'reset'].includes(asked.action))
    given.feature ??= tight?.feature ?? null;
  if (asked.action === 'set_limit') given.period ??= tight?.period ?? 'month';
  for (const field of fieldsOf(asked.action, session, data, given)) {
    if (field.kind === 'choice') given[field.name] ??= field.options?.[0]?.[0] ?? null;
    else given[field.name] ??= null;
  }
  if (asked.action === 'set_plan') {
    const other = session.plans.find(({ plan, isRetired }) => plan !== data.plan && !isRetired);
    given.plan = other?.plan ?? given.plan ?? null;
  }
  return given;
}

const share = ({
  used,
  reserved,
  limit,
}: {
  used: number;
  reserved: number;
  limit: number | null;
}) => (limit ? (used + reserved) / limit : 0);

/** Whether enough is filled in to ask the database what would come of it. */
export const isAskable = (action: ActionName, fields: Field[], given: Given) =>
  action === 'forget' ||
  fields.every(
    ({ name, isRequired }) => !isRequired || (given[name] !== null && given[name] !== ''),
  );
