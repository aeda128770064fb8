'use client';
/** What a subject has used and may use: a bar per limit, and the way to more where one is used up. */
import type { CurrentUsage } from 'pgquota';
import type { ReactNode } from 'react';
import { hasLargerPlan } from './plans.ts';
import { usePlans, useUsage, useUsageFormat } from './provider.tsx';
import type { UsageWords } from './words.ts';

export interface UsageIndicatorProps {
  /** Default: what the provider says. */
  subject?: string;
  /** Features to show, in this order. Default: all. */
  features?: string[];
  /** How many rows the space is kept for until the first answer. */
  expected?: number;
  /** At a limit that a larger plan lifts. Default: a link to the plan's upgrade_url. */
  onUpgrade?: (row: CurrentUsage) => void;
  /** Draws a row in another way. */
  children?: (row: CurrentUsage) => ReactNode;
  className?: string;
}

export function UsageIndicator({
  subject,
  features,
  expected = features?.length ?? 3,
  onUpgrade,
  children,
  className,
}: UsageIndicatorProps) {
  const { rows, error, answeredAt, refresh } = useUsage({ subject });
  const { words, time } = useUsageFormat();
  const shown = features
    ? features.flatMap((feature) => rows?.filter((row) => row.feature === feature) ?? [])
    : (rows ?? []);

  return (
    <section
      className={['pgquota pgquota-indicator', className].filter(Boolean).join(' ')}
      aria-label={words.title}
      aria-busy={rows === null && error === null}
    >
      <ul className="pgquota-rows">
        {rows === null
          ? Array.from({ length: expected }, (_, at) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
              <li className="pgquota-row pgquota-waiting" key={at} aria-hidden />
            ))
          : shown.map((row) => (
              <li
                className="pgquota-row"
                key={`${row.subject}/${row.feature}/${row.period}/${row.member ?? ''}`}
                data-member={row.member ?? undefined}
                data-status={row.status}
                data-feature={row.feature}
                data-period={row.period}
              >
                {children ? children(row) : <UsageRow row={row} onUpgrade={onUpgrade} />}
              </li>
            ))}
      </ul>
      <p className="pgquota-note">
        <span>
          {error !== null
            ? rows
              ? words.outOfDate
              : words.unavailable
            : answeredAt === null
              ? words.loading
              : words.asOf(time(answeredAt))}
        </span>
        <button type="button" className="pgquota-link" onClick={refresh}>
          {error === null ? words.refresh : words.tryAgain}
        </button>
      </p>
      <Announcement rows={error === null ? shown : null} />
    </section>
  );
}

/** Name, amount, bar and reset of one limit. */
export function UsageRow({
  row,
  onUpgrade,
}: {
  row: CurrentUsage;
  onUpgrade?: (row: CurrentUsage) => void;
}) {
  const { words, number } = useUsageFormat();
  const notes = useNotes(row);
  const { status } = row;
  return (
    <>
      <div className="pgquota-head">
        <span className="pgquota-name">
          {row.feature_name} <small>{scopeOf(row, words)}</small>
        </span>
        <span className="pgquota-amount" aria-hidden>
          {row.limit === null
            ? words.usedUnlimited(number(row.used))
            : words.usedOf(number(row.used), number(row.limit))}
        </span>
      </div>
      <UsageMeter row={row} />
      <div className="pgquota-foot">
        {status !== 'ok' && <span className="pgquota-badge">{words.status[status]}</span>}
        <span className="pgquota-notes">{notes.join(' · ')}</span>
        {(status === 'at_limit' || status === 'over_limit') && (
          <UpgradeAction row={row} onUpgrade={onUpgrade} />
        )}
      </div>
    </>
  );
}

/** The bar alone: what is used, and lighter what is held. */
export function UsageMeter({ row }: { row: CurrentUsage }) {
  const { words, number } = useUsageFormat();
  const notes = useNotes(row);
  const { used, reserved, limit } = row;
  if (limit === null) {
    return (
      <div className="pgquota-bar pgquota-unlimited">
        <span className="pgquota-hidden">{words.spokenUnlimited(number(used))}</span>
      </div>
    );
  }
  const share = (amount: number) => (limit ? Math.min(100, (100 * amount) / limit) : 100);
  const spoken = words.spoken(
    words.usedOf(number(used), number(limit)),
    words.units(row.unit, limit),
  );
  return (
    // biome-ignore lint/a11y/useSemanticElements: <meter> cannot show what is reserved
    <div
      className="pgquota-bar"
      role="meter"
      aria-label={`${row.feature_name} ${scopeOf(row, words)}`.trim()}
      aria-valuemin={0}
      aria-valuemax={limit}
      aria-valuenow={Math.min(used + reserved, limit)}
      aria-valuetext={[spoken, ...notes].join(', ')}
    >
      <span className="pgquota-used" style={{ inlineSize: `${share(used)}%` }} />
      <span
        className="pgquota-reserved"
        style={{ inlineSize: `${share(used + reserved) - share(used)}%` }}
      />
    </div>
  );
}

/** The way to a larger plan, where there is one: your own, or a link to the plan's upgrade_url. */
export function UpgradeAction({
  row,
  onUpgrade,
}: {
  row: CurrentUsage;
  onUpgrade?: (row: CurrentUsage) => void;
}) {
  const { words } = useUsageFormat();
  const { plans } = usePlans();
  if (!plans || !hasLargerPlan(plans, row)) return null;
  const about = { className: 'pgquota-upgrade', 'aria-label': words.upgradeFor(row.feature_name) };
  if (onUpgrade) {
    return (
      <button type="button" {...about} onClick={() => onUpgrade(row)}>
        {words.upgrade}
      </button>
    );
  }
  const url = plans.find(({ plan }) => plan === row.plan)?.upgradeUrl;
  return url ? (
    <a {...about} href={url}>
      {words.upgrade}
    </a>
  ) : null;
}

/** "per month", and of a cap whose it is. */
const scopeOf = (row: CurrentUsage, words: UsageWords) =>
  [words.per(row.period), row.member ? words.member(row.member) : ''].filter(Boolean).join(' ');

function useNotes(row: CurrentUsage): string[] {
  const { words, number, instant } = useUsageFormat();
  const forecast = useForecast(row);
  return [
    row.reserved > 0 && words.reserved(number(row.reserved)),
    row.granted > 0 && words.extra(number(row.granted)),
    row.resets_at
      ? words.resets(instant(row.resets_at, row.time_zone))
      : row.period === 'lifetime' && words.inTotal,
    forecast,
  ].filter((note) => note !== false);
}

const DAY = 86_400_000;

/**
 * Where use is going. The database says nothing while there is too little to say, and then neither does
 * this; nor of what is used up already, nor of minutes and hours, which are over before it is read.
 */
function useForecast(row: CurrentUsage): string | false {
  const { words, number, instant, date } = useUsageFormat();
  const { projected, exhausted_at, period_start, resets_at, status, time_zone } = row;
  // Rows that a server has kept from before may have neither.
  if (typeof projected !== 'number' || !period_start || !resets_at) return false;
  if (status === 'at_limit' || status === 'over_limit') return false;
  const length = Date.parse(resets_at) - Date.parse(period_start);
  if (length < DAY / 2) return false;
  if (!exhausted_at) return words.willBe(number(projected));
  // On a day the hour says more. A day in which clocks are set back has 25 of them.
  const when = length < 2 * DAY ? instant : date;
  return words.willBeUsedUp(when(exhausted_at, time_zone));
}

/** Told to who does not see the colours, once per change. */
function Announcement({ rows }: { rows: CurrentUsage[] | null }) {
  const { words } = useUsageFormat();
  const namesOf = (...statuses: CurrentUsage['status'][]) =>
    rows
      ?.filter((row) => statuses.includes(row.status))
      .map((row) => row.feature_name)
      .join(', ');
  const full = namesOf('at_limit', 'over_limit');
  const near = namesOf('warning');
  return (
    <p className="pgquota-hidden" role="status">
      {rows
        ? [full && words.noRoom(full), near && words.nearlyUsedUp(near)].filter(Boolean).join(' ')
        : words.couldNotBeRead}
    </p>
  );
}
