/** Who is near a limit, or over it. The address says in which order and of what, so it can be sent on. */
import { useInfiniteQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { useSearchParams } from 'wouter';
import type { NearRow, Page } from '../../server/shapes.ts';
import { get } from './api.ts';
import { type Column, DataTable, More } from './DataTable.tsx';
import { useFeatureName, useSession } from './session.ts';
import { Card, Meter, Refusal, Status, SubjectLink, Time, Waiting } from './ui.tsx';

const SORTS = { subject: 'subject', percent: 'percent', used: 'used', resets: 'resets' };

export function Near() {
  const { features } = useSession();
  const nameOf = useFeatureName();
  const [params, setParams] = useSearchParams();
  const of = (name: string) => params.get(name) ?? '';
  const set = (name: string, value: string) =>
    setParams(
      (former) => {
        if (value) former.set(name, value);
        else former.delete(name);
        return former;
      },
      { replace: true },
    );
  const asked = {
    sort: of('sort') || 'percent',
    status: of('status'),
    feature: of('feature'),
    prefix: of('prefix'),
  };
  const near = useInfiniteQuery({
    queryKey: ['near', asked],
    queryFn: ({ pageParam }) =>
      get<Page<NearRow>>('near', { ...asked, after: pageParam, size: pageParam ? 50 : 15 }),
    initialPageParam: null as string | null,
    getNextPageParam: ({ next }) => next,
    placeholderData: (former) => former,
    refetchInterval: 15_000,
  });
  const columns = useMemo<Column<NearRow>[]>(
    () => [
      {
        id: 'subject',
        header: 'Subject',
        cell: ({ row }) => <SubjectLink id={row.original.subject} />,
      },
      {
        id: 'feature',
        header: 'Limit',
        cell: ({ row: { original } }) => (
          <>
            {nameOf(original.feature)} <span className="quiet">/ {original.period}</span>
          </>
        ),
      },
      {
        id: 'used',
        header: 'Used',
        cell: ({ row: { original } }) => (
          <Meter used={original.used} reserved={original.reserved} limit={original.limit} />
        ),
      },
      {
        id: 'percent',
        header: '%',
        cell: ({ row: { original } }) => <span className="num">{original.percent_used}</span>,
      },
      {
        id: 'resets',
        header: 'Resets',
        cell: ({ row: { original } }) =>
          original.resets_at ? (
            <Time at={original.resets_at} relative />
          ) : (
            <span className="quiet">never</span>
          ),
      },
      {
        id: 'status',
        header: 'Status',
        cell: ({ row }) => <Status status={row.original.status} />,
      },
    ],
    [nameOf],
  );
  const rows = useMemo(() => near.data?.pages.flatMap((page) => page.rows) ?? [], [near.data]);
  return (
    <Card
      title="Near a limit, or over it"
      aside={
        <div className="filters">
          <input
            type="search"
            aria-label="Subject begins with"
            placeholder="Begins with…"
            value={asked.prefix}
            onChange={(event) => set('prefix', event.target.value)}
          />
          <select
            aria-label="Feature"
            value={asked.feature}
            onChange={(event) => set('feature', event.target.value)}
          >
            <option value="">all features</option>
            {features
              .filter(({ kind }) => kind === 'metered' || kind === 'gauge')
              .map(({ feature, name }) => (
                <option key={feature} value={feature}>
                  {name}
                </option>
              ))}
          </select>
          <select
            aria-label="Status"
            value={asked.status}
            onChange={(event) => set('status', event.target.value)}
          >
            <option value="">near, at and over</option>
            <option value="warning">near (80 %)</option>
            <option value="at_limit">at the limit</option>
            <option value="over_limit">over it</option>
          </select>
        </div>
      }
    >
      {near.isError ? (
        <Refusal error={near.error} />
      ) : near.data ? (
        <>
          <DataTable
            label="Near a limit, or over it"
            columns={columns}
            rows={rows}
            idOf={({ subject, feature, period }) => [subject, feature, period].join('\n')}
            sort={{ by: asked.sort, columns: SORTS, onSort: (by) => set('sort', by) }}
            empty="Nobody is near a limit."
          />
          {rows.length > 0 && (
            <More
              shown={rows.length}
              hasMore={near.hasNextPage}
              isLoading={near.isFetchingNextPage}
              onMore={() => near.fetchNextPage()}
            />
          )}
        </>
      ) : (
        <Waiting lines={6} />
      )}
    </Card>
  );
}
