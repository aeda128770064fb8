/** At a glance: what is used, who is near a limit, what has been waiting for long, what grows. */
import { useQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { useSearchParams } from 'wouter';
import type { Attention, Unit, UsageOverview } from '../../server/shapes.ts';
import { get } from './api.ts';
import { Chart } from './Chart.tsx';
import { type Column, DataTable } from './DataTable.tsx';
import { bytes, compact, number } from './format.ts';
import { Near } from './Near.tsx';
import { useSession } from './session.ts';
import { Card, Choice, Empty, Refusal, SubjectLink, Time, Waiting } from './ui.tsx';

const SPANS: Record<Unit, string> = { hour: '24 hours', day: '30 days', month: '12 months' };

export function Overview() {
  const [params, setParams] = useSearchParams();
  const unit = (params.get('unit') as Unit | null) ?? 'hour';
  const usage = useQuery({
    queryKey: ['usage', unit],
    queryFn: () => get<UsageOverview>('usage', { unit }),
    // On with a long ledger while there is more of it, else now and then.
    refetchInterval: ({ state }) => (state.data?.isComplete === false ? 300 : 15_000),
    placeholderData: (former) => former,
  });
  return (
    <>
      <div className="page-head">
        <h1>Overview</h1>
        <Choice
          label="Span"
          value={unit}
          options={SPANS}
          onChange={(value) => setParams({ unit: value }, { replace: true })}
        />
      </div>
      {usage.isError ? (
        <Refusal error={usage.error} />
      ) : usage.data ? (
        <Features usage={usage.data} />
      ) : (
        <Waiting lines={5} />
      )}
      <Attentions />
      <Near />
    </>
  );
}

function Features({ usage }: { usage: UsageOverview }) {
  const { features } = useSession();
  const counted = features.filter(({ kind }) => kind === 'metered' || kind === 'gauge');
  const rows = counted
    .map((feature) => {
      const of = usage.buckets.map(({ from, features: sums }) => ({
        from,
        sums: sums === null ? null : (sums[feature.feature] ?? { used: 0, lines: 0, returned: 0 }),
      }));
      const total = (name: 'used' | 'lines' | 'returned') =>
        of.reduce((sum, { sums }) => sum + (sums?.[name] ?? 0), 0);
      return {
        ...feature,
        of,
        used: total('used'),
        lines: total('lines'),
        returned: total('returned'),
      };
    })
    .sort((a, b) => b.lines - a.lines);
  if (counted.length === 0) {
    return (
      <Card title="Features">
        <Empty>
          There is no feature yet: a plan document names them. Plans has an editor for it.
        </Empty>
      </Card>
    );
  }
  return (
    <section aria-labelledby="use" className="stack">
      <h2 id="use" className="hidden">
        Use per feature
      </h2>
      <div className="features">
        {rows.map(({ feature, name, unit, of, used, lines, returned }) => (
          <article key={feature} className="card feature">
            <header>
              <h3 title={feature}>{name}</h3>
              <p>
                <b className="num">{compact(used)}</b>{' '}
                <span className="quiet">
                  {used === 1 || unit.endsWith('s') ? unit : `${unit}s`}
                </span>
              </p>
            </header>
            <Chart
              label={`${name}: used per ${usage.unit}`}
              unit={usage.unit}
              height={96}
              bars={of.map(({ from, sums }) => ({
                from,
                value: sums?.used ?? null,
                note: sums ? `${number(sums.lines)} lines` : undefined,
              }))}
            />
            <p className="facts">
              <span>
                {compact(lines)} {lines === 1 ? 'line' : 'lines'}
              </span>
              {returned > 0 && <span>{compact(returned)} given back</span>}
              <span className={usage.reached[feature] ? 'bad' : undefined}>
                {number(usage.reached[feature] ?? 0)} × 100 % reached
              </span>
              {usage.shadow[feature] !== undefined && (
                <span>{number(usage.shadow[feature])} that shadow limits would have refused</span>
              )}
            </p>
          </article>
        ))}
      </div>
      <p className="hint">
        {!usage.isComplete && <b>The ledger is long: it is being read, the newest first. </b>}
        Net of refunds, summed from the ledger; days and months are those of UTC. A refusal writes
        nothing, so refusals are not counted here: what is known of them is how often a limit came
        to 100 %, and what limits in shadow noted.
      </p>
    </section>
  );
}

function Attentions() {
  const { data, error } = useQuery({
    queryKey: ['attention'],
    queryFn: () => get<Attention>('attention'),
    refetchInterval: 15_000,
  });
  const holds = useMemo<Column<Attention['holds'][number]>[]>(
    () => [
      {
        id: 'subject',
        header: 'Subject',
        cell: ({ row }) => <SubjectLink id={row.original.subject} />,
      },
      { id: 'feature', header: 'Feature', accessorKey: 'feature' },
      {
        id: 'amount',
        header: 'Held',
        cell: ({ row }) => <span className="num">{number(row.original.amount)}</span>,
      },
      {
        id: 'since',
        header: 'Since',
        cell: ({ row }) => <Time at={row.original.reserved_at} relative />,
      },
      {
        id: 'expires',
        header: 'Expires',
        cell: ({ row }) =>
          row.original.is_overdue ? (
            <span className="quiet" title="It counts no more.">
              expired
            </span>
          ) : (
            <Time at={row.original.expires_at} relative />
          ),
      },
    ],
    [],
  );
  const alerts = useMemo<Column<Attention['alerts'][number]>[]>(
    () => [
      { id: 'at', header: 'At', cell: ({ row }) => <Time at={row.original.at} /> },
      {
        id: 'subject',
        header: 'Subject',
        cell: ({ row }) => <SubjectLink id={row.original.subject} />,
      },
      {
        id: 'feature',
        header: 'Limit',
        cell: ({ row: { original } }) => `${original.feature} / ${original.period}`,
      },
      {
        id: 'threshold',
        header: 'Mark',
        cell: ({ row: { original } }) => (
          <span className={original.threshold === 100 ? 'num bad' : 'num'}>
            {original.threshold} %
          </span>
        ),
      },
    ],
    [],
  );
  if (error) return <Refusal error={error} />;
  if (!data) return <Waiting />;
  return (
    <div className="columns">
      <Card
        title="Alerts"
        aside={data.undelivered > 0 && `${number(data.undelivered)} not acknowledged`}
      >
        <DataTable
          label="Alerts"
          columns={alerts}
          rows={data.alerts}
          idOf={({ subject, feature, period, at, threshold }) =>
            [subject, feature, period, at, threshold].join('\n')
          }
          empty="No limit has come to a mark."
        />
      </Card>
      <Card title="Holds that are open longest">
        <DataTable
          label="Holds that are open longest"
          columns={holds}
          rows={data.holds}
          idOf={({ reservation_id }) => reservation_id}
          empty="Nothing is held."
        />
      </Card>
      <Card title="What grows" aside={`${number(data.subjects)} subjects`}>
        <table className="plain">
          <thead className="hidden">
            <tr>
              <th scope="col">Table</th>
              <th scope="col">Rows</th>
              <th scope="col">Size</th>
            </tr>
          </thead>
          <tbody>
            {data.growth.map(({ table, rows, bytes: size }) => (
              <tr key={table}>
                <th scope="row">
                  <code>quota.{table}</code>
                </th>
                <td className="num">{compact(rows)} rows</td>
                <td className="num">{bytes(size)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </Card>
    </div>
  );
}
