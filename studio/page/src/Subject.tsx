/** One subject: what it may, what it has, what happened; and what support does for it. */
import { useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { Link, useSearchParams } from 'wouter';
import type { Grant, Hold, Limit, Subject as SubjectShape, Unit } from '../../server/shapes.ts';
import { ActionDialog } from './ActionDialog.tsx';
import { type Asked, TITLES } from './actions.ts';
import { get } from './api.ts';
import { Chart } from './Chart.tsx';
import { type Column, DataTable } from './DataTable.tsx';
import { duration, number } from './format.ts';
import { Ledger } from './Ledger.tsx';
import { detailOf } from './lines.ts';
import { Moment } from './Moment.tsx';
import { useFeatureName, useSession } from './session.ts';
import {
  Card,
  Choice,
  Empty,
  Meter,
  Refusal,
  Status,
  SubjectLink,
  statusOf,
  Time,
  Waiting,
} from './ui.tsx';

export function Subject() {
  const [params] = useSearchParams();
  const id = params.get('id') ?? '';
  const subject = useQuery({
    queryKey: ['subject', id],
    queryFn: () => get<SubjectShape>('subject', { subject: id }),
    refetchInterval: 10_000,
  });
  const [asked, setAsked] = useState<Asked | null>(null);
  if (!id) return <h1>No subject is named</h1>;
  if (subject.isError) {
    return (
      <>
        <h1>{id}</h1>
        <Refusal error={subject.error} />
      </>
    );
  }
  if (!subject.data) return <Waiting lines={10} />;
  const data = subject.data;
  return (
    <>
      <Head data={data} onAct={setAsked} />
      {!data.isKnown && (
        <p className="notice">
          No call was ever made for <b className="id">{id}</b>, and nobody put it on a plan: what
          the default plan allows is shown. Is the id spelled like that?
        </p>
      )}
      <div className="two">
        <div className="stack">
          <Limits data={data} onAct={setAsked} />
          <Moment key={id} subject={id} />
          <Use key={`use ${id}`} data={data} />
          <Ledger key={`ledger ${id}`} subject={id} onAct={setAsked} />
        </div>
        <div className="stack side">
          <Grants data={data} onAct={setAsked} />
          <Holds data={data} onAct={setAsked} />
          <Exceptions data={data} onAct={setAsked} />
          <Caps data={data} />
          <Others data={data} />
          <History data={data} />
        </div>
      </div>
      {asked && (
        <ActionDialog key={asked.action} asked={asked} data={data} onClose={() => setAsked(null)} />
      )}
    </>
  );
}

type Acting = { data: SubjectShape; onAct: (asked: Asked) => void };

function Head({ data, onAct }: Acting) {
  const { plans, readOnly } = useSession();
  const plan = plans.find((one) => one.plan === data.plan);
  return (
    <div className="subject-head">
      <div>
        <p className="crumb">
          <Link href="/subjects">Subjects</Link>
          {data.parents.toReversed().map((parent) => (
            <span key={parent}>
              {' '}
              / <SubjectLink id={parent} />
            </span>
          ))}
        </p>
        <h1 className="id">{data.subject}</h1>
        <p className="facts">
          <span>
            Plan <b data-testid="plan">{plan?.name ?? data.plan ?? 'none'}</b>
            {data.put_on === null && data.plan && ' (by default)'}
            {data.put_on && data.put_on !== data.plan && ` (put on ${data.put_on})`}
          </span>
          {data.plan_ends_at && (
            <span>
              ends <Time at={data.plan_ends_at} />
            </span>
          )}
          <span>
            {data.anchor_at ? (
              <>
                periods from <Time at={data.anchor_at} />
              </>
            ) : (
              'calendar periods'
            )}
            , {data.time_zone}
          </span>
        </p>
      </div>
      {readOnly === null && (
        <div className="actions">
          {(['set_plan', 'grant', 'set_limit', 'reset'] as const).map((action, n) => (
            <button
              key={action}
              type="button"
              className={n === 1 ? 'main' : undefined}
              onClick={() => onAct({ action, given: {} })}
            >
              {TITLES[action]}…
            </button>
          ))}
          <button
            type="button"
            className="danger"
            onClick={() => onAct({ action: 'forget', given: {} })}
          >
            Forget…
          </button>
        </div>
      )}
    </div>
  );
}

function Limits({ data, onAct }: Acting) {
  const nameOf = useFeatureName();
  const { readOnly } = useSession();
  const columns = useMemo<Column<Limit>[]>(
    () => [
      {
        id: 'feature',
        header: 'Limit',
        cell: ({ row: { original } }) => (
          <>
            {nameOf(original.feature)}{' '}
            <span className="quiet">{original.period ? `/ ${original.period}` : ''}</span>
            {original.subject !== data.subject && (
              <span className="quiet">
                {' '}
                of <SubjectLink id={original.subject} />
              </span>
            )}
          </>
        ),
      },
      {
        id: 'source',
        header: 'From',
        cell: ({ row: { original } }) => (
          <>
            {original.period === null ? (
              <span className="bad">not in the plan</span>
            ) : (
              <span className={original.source === 'exception' ? 'tag' : undefined}>
                {original.source}
              </span>
            )}
            {original.mode && original.mode !== 'hard' && (
              <span className="tag">{original.mode}</span>
            )}
          </>
        ),
      },
      {
        id: 'used',
        header: 'Used',
        cell: ({ row: { original } }) =>
          original.period && (
            <>
              <Meter used={original.used} reserved={original.reserved} limit={original.limit} />
              {(original.granted > 0 || original.carried > 0) && (
                <span className="quiet small-text">
                  {[
                    original.granted > 0 && `${number(original.granted)} of it granted`,
                    original.carried > 0 && `${number(original.carried)} carried over`,
                  ]
                    .filter(Boolean)
                    .join(', ')}
                </span>
              )}
            </>
          ),
      },
      {
        id: 'room',
        header: 'Room',
        cell: ({ row: { original } }) => (
          <span className="num">{original.unlimited ? '∞' : number(original.remaining ?? 0)}</span>
        ),
      },
      {
        id: 'forecast',
        header: 'At this pace',
        cell: ({ row: { original } }) =>
          original.projected === null ? (
            <span className="quiet">–</span>
          ) : original.exhausted_at ? (
            <span className="warn">
              used up
              {new Date(original.exhausted_at).getTime() > Date.now() && (
                <>
                  {' '}
                  <Time at={original.exhausted_at} relative />
                </>
              )}
            </span>
          ) : (
            <span className="num quiet">{number(original.projected)} at the end</span>
          ),
      },
      {
        id: 'resets',
        header: 'Resets',
        cell: ({ row: { original } }) =>
          original.resets_at ? (
            <Time at={original.resets_at} />
          ) : (
            <span className="quiet">never</span>
          ),
      },
      {
        id: 'answer',
        header: 'A call now',
        cell: ({ row: { original } }) =>
          original.refuses ? (
            <span>
              <span className="bad">refused</span>
              {original.retry_after !== null && (
                <span className="quiet"> for {duration(original.retry_after)}</span>
              )}
              {original.top_up !== null && readOnly === null && (
                <button
                  type="button"
                  className="link"
                  onClick={() =>
                    onAct({
                      action: 'grant',
                      given: {
                        feature: original.feature,
                        amount: Math.max(10, original.top_up ?? 1),
                      },
                    })
                  }
                >
                  grant more
                </button>
              )}
            </span>
          ) : (
            <Status status={statusOf(original.used + original.reserved, original.limit)} />
          ),
      },
    ],
    [nameOf, data.subject, onAct, readOnly],
  );
  return (
    <Card title="Limits">
      {data.limitsRefused && (
        <Refusal
          refusal={data.limitsRefused}
          title="Exact room may not be asked for: these are the numbers of the last calls."
        />
      )}
      <DataTable
        label="Limits"
        columns={columns}
        rows={data.limits}
        idOf={({ feature, period, subject, source }) =>
          [feature, period, subject, source].join('\n')
        }
        empty="There is no feature that is counted."
      />
      {data.entitlements.length > 0 && (
        <dl className="values">
          {data.entitlements.map(({ feature, kind, enabled, value }) => (
            <div key={feature}>
              <dt>{nameOf(feature)}</dt>
              <dd>
                {kind === 'switch'
                  ? enabled
                    ? 'on'
                    : 'off'
                  : enabled
                    ? JSON.stringify(value)
                    : '–'}
              </dd>
            </div>
          ))}
        </dl>
      )}
    </Card>
  );
}

const UNITS: Record<Unit, string> = { hour: '24 hours', day: '30 days', month: '12 months' };

function Use({ data }: { data: SubjectShape }) {
  const { features } = useSession();
  const counted = features.filter(({ kind }) => kind === 'metered' || kind === 'gauge');
  const busiest = data.limits.toSorted((a, b) => b.used - a.used)[0]?.feature;
  const [feature, setFeature] = useState(busiest ?? counted[0]?.feature ?? '');
  const [unit, setUnit] = useState<Unit>('day');
  const chart = useQuery({
    queryKey: ['chart', data.subject, feature, unit],
    queryFn: () =>
      get<{ buckets: { from: string; used: number; lines: number }[] }>('chart', {
        subject: data.subject,
        ...{ feature, unit },
      }),
    enabled: feature !== '',
    placeholderData: (former) => former,
  });
  const limit = data.limits.find(
    (one) => one.feature === feature && one.period === unit && one.subject === data.subject,
  );
  if (!feature) return null;
  return (
    <Card
      title="Use"
      aside={
        <div className="filters">
          <select
            aria-label="Feature of the chart"
            value={feature}
            onChange={(event) => setFeature(event.target.value)}
          >
            {counted.map((one) => (
              <option key={one.feature} value={one.feature}>
                {one.name}
              </option>
            ))}
          </select>
          <Choice label="Span of the chart" value={unit} options={UNITS} onChange={setUnit} />
        </div>
      }
    >
      {chart.isError ? (
        <Refusal error={chart.error} />
      ) : chart.data ? (
        <Chart
          label={`${feature}: used per ${unit}`}
          unit={unit}
          height={140}
          limit={limit?.limit}
          bars={chart.data.buckets.map(({ from, used, lines }) => ({
            from,
            value: used,
            note: `${number(lines)} lines`,
          }))}
        />
      ) : (
        <Waiting />
      )}
    </Card>
  );
}

function Grants({ data, onAct }: Acting) {
  const nameOf = useFeatureName();
  const { readOnly } = useSession();
  const open = data.grants.filter(({ state }) => state === 'open');
  const ended = data.grants.filter(({ state }) => state !== 'open');
  const item = (grant: Grant) => (
    <li key={grant.grant_id}>
      <span>
        <b className="num">{number(grant.left)}</b>
        <span className="quiet num"> of {number(grant.amount)}</span> {nameOf(grant.feature)}
        {grant.state !== 'open' && <span className="tag">{grant.state}</span>}
        <span className="quiet block">
          <Time at={grant.granted_at} />
          {grant.expires_at && (
            <>
              , until <Time at={grant.expires_at} />
            </>
          )}
          {typeof grant.metadata.reason === 'string' && <> · “{grant.metadata.reason}”</>}
        </span>
      </span>
      {grant.state === 'open' && readOnly === null && (
        <button
          type="button"
          className="small"
          onClick={() =>
            onAct({
              action: 'take_back',
              given: { grant_id: grant.grant_id, amount: null },
              note: grant,
            })
          }
        >
          Take back…
        </button>
      )}
    </li>
  );
  return (
    <Card title="Grants">
      {data.grants.length === 0 ? <Empty>None.</Empty> : <ul className="list">{open.map(item)}</ul>}
      {ended.length > 0 && (
        <details>
          <summary>{ended.length} that are spent, expired or void</summary>
          <ul className="list">{ended.map(item)}</ul>
        </details>
      )}
    </Card>
  );
}

function Holds({ data, onAct }: Acting) {
  const nameOf = useFeatureName();
  const { readOnly } = useSession();
  const open = data.holds.filter(({ state }) => state === 'open');
  const ended = data.holds.filter(({ state }) => state !== 'open');
  const item = (hold: Hold) => (
    <li key={hold.reservation_id}>
      <span>
        <b className="num">{number(hold.amount)}</b> {nameOf(hold.feature)}
        {hold.state !== 'open' && <span className="tag">{hold.state}</span>}
        <span className="quiet block">
          since <Time at={hold.reserved_at} />
          {hold.state === 'open' &&
            (hold.is_overdue ? (
              ', expired: counts no more'
            ) : (
              <>
                , expires <Time at={hold.expires_at} relative />
              </>
            ))}
        </span>
      </span>
      {hold.state === 'open' && readOnly === null && (
        <button
          type="button"
          className="small"
          onClick={() =>
            onAct({ action: 'release', given: { reservation_id: hold.reservation_id }, note: hold })
          }
        >
          Release…
        </button>
      )}
    </li>
  );
  return (
    <Card title="Holds">
      {open.length === 0 ? (
        <Empty>Nothing is held.</Empty>
      ) : (
        <ul className="list">{open.map(item)}</ul>
      )}
      {ended.length > 0 && (
        <details>
          <summary>the last {ended.length} that ended</summary>
          <ul className="list">{ended.map(item)}</ul>
        </details>
      )}
    </Card>
  );
}

function Exceptions({ data, onAct }: Acting) {
  const nameOf = useFeatureName();
  const { readOnly } = useSession();
  if (data.exceptions.length === 0) return null;
  return (
    <Card title="Exceptions to the plan">
      <ul className="list">
        {data.exceptions.map(({ feature, period, limit, ends_at, member }) => (
          <li key={`${feature}/${period}/${member}`}>
            <span>
              <b className="num">{limit === null ? '∞' : number(limit)}</b> {nameOf(feature)}{' '}
              <span className="quiet">/ {period}</span>
              {member && (
                <>
                  {' '}
                  <span className="quiet">of</span> <span className="id">{member}</span>
                </>
              )}
              <span className="quiet block">
                {ends_at ? (
                  <>
                    until <Time at={ends_at} />
                  </>
                ) : (
                  'without an end'
                )}
              </span>
            </span>
            {readOnly === null && (
              <button
                type="button"
                className="small"
                onClick={() => onAct({ action: 'clear_limit', given: { feature, period, member } })}
              >
                End it…
              </button>
            )}
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** What each member may take of what its organisation has. */
function Caps({ data }: { data: SubjectShape }) {
  const nameOf = useFeatureName();
  if (data.caps.length === 0) return null;
  return (
    <Card title="Caps of members">
      <ul className="list">
        {data.caps.map(({ member, feature, period, used, reserved, limit }) => (
          <li key={[member, feature, period].join('\n')}>
            <span>
              <span className="id">{member}</span>
              <span className="quiet block">
                {nameOf(feature)} / {period}
              </span>
            </span>
            <Meter used={used} reserved={reserved} limit={limit} />
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Others({ data }: { data: SubjectShape }) {
  const groups = [
    ['Above', data.parents],
    ['Below', data.children],
    ['Members', data.members],
    ['Acts for', data.organisations],
  ] as const;
  if (groups.every(([, ids]) => ids.length === 0)) return null;
  return (
    <Card title="Who belongs to it">
      <dl className="others">
        {groups
          .filter(([, ids]) => ids.length > 0)
          .map(([name, ids]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>
                {ids.map((id) => (
                  <SubjectLink key={id} id={id} />
                ))}
                {ids.length === 100 && <span className="quiet">the first 100</span>}
              </dd>
            </div>
          ))}
      </dl>
    </Card>
  );
}

function History({ data }: { data: SubjectShape }) {
  return (
    <Card title="Plans and terms, the latest first">
      {data.history.length === 0 ? (
        <Empty>Nobody has changed anything.</Empty>
      ) : (
        <ol className="timeline">
          {data.history.map((line) => (
            <li key={line.event_id}>
              <Time at={line.at} />
              <span>
                {line.actor && <span className="id">{line.actor}: </span>}
                {detailOf(line)}
              </span>
            </li>
          ))}
        </ol>
      )}
    </Card>
  );
}
