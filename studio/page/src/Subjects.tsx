/** Everybody, by name. */
import { useInfiniteQuery } from '@tanstack/react-query';
import { useMemo } from 'react';
import { useSearchParams } from 'wouter';
import type { Page, SubjectRow } from '../../server/shapes.ts';
import { get } from './api.ts';
import { type Column, DataTable, More } from './DataTable.tsx';
import { useFeatureName, useSession } from './session.ts';
import { Card, Meter, Refusal, Status, SubjectLink, Time, Waiting } from './ui.tsx';

export function Subjects() {
  const { plans } = useSession();
  const nameOf = useFeatureName();
  const [params, setParams] = useSearchParams();
  const asked = { prefix: params.get('prefix') ?? '', plan: params.get('plan') ?? '' };
  const set = (changed: Partial<typeof asked>) =>
    setParams(
      Object.fromEntries(Object.entries({ ...asked, ...changed }).filter(([, value]) => value)),
      { replace: true },
    );
  const subjects = useInfiniteQuery({
    queryKey: ['subjects', asked],
    queryFn: ({ pageParam }) => get<Page<SubjectRow>>('subjects', { ...asked, after: pageParam }),
    initialPageParam: null as string | null,
    getNextPageParam: ({ next }) => next,
    placeholderData: (former) => former,
  });
  const rows = useMemo(
    () => subjects.data?.pages.flatMap((page) => page.rows) ?? [],
    [subjects.data],
  );
  const columns = useMemo<Column<SubjectRow>[]>(
    () => [
      {
        id: 'subject',
        header: 'Subject',
        cell: ({ row }) => <SubjectLink id={row.original.subject} />,
      },
      {
        id: 'plan',
        header: 'Plan',
        cell: ({ row: { original } }) => (
          <>
            {original.plan ?? <span className="quiet">none</span>}
            {original.plan_ends_at && (
              <span className="quiet">
                {' '}
                until <Time at={original.plan_ends_at} />
              </span>
            )}
          </>
        ),
      },
      {
        id: 'parent',
        header: 'Below',
        cell: ({ row: { original } }) => original.parent && <SubjectLink id={original.parent} />,
      },
      {
        id: 'feature',
        header: 'Fullest limit',
        cell: ({ row: { original } }) =>
          original.feature && (
            <>
              {nameOf(original.feature)} <span className="quiet">/ {original.period}</span>
            </>
          ),
      },
      {
        id: 'used',
        header: 'Used',
        cell: ({ row: { original } }) =>
          original.used !== null && (
            <Meter used={original.used} reserved={0} limit={original.limit} />
          ),
      },
      {
        id: 'status',
        header: 'Status',
        cell: ({ row: { original } }) => original.status && <Status status={original.status} />,
      },
    ],
    [nameOf],
  );
  return (
    <>
      <div className="page-head">
        <h1>Subjects</h1>
      </div>
      <Card
        title="All subjects"
        aside={
          <div className="filters">
            <input
              type="search"
              aria-label="Begins with"
              placeholder="Begins with…"
              value={asked.prefix}
              onChange={(event) => set({ prefix: event.target.value })}
            />
            <select
              aria-label="Put on plan"
              value={asked.plan}
              onChange={(event) => set({ plan: event.target.value })}
            >
              <option value="">any plan</option>
              {plans.map(({ plan, name }) => (
                <option key={plan} value={plan}>
                  put on {name}
                </option>
              ))}
            </select>
          </div>
        }
      >
        {subjects.isError ? (
          <Refusal error={subjects.error} />
        ) : subjects.data ? (
          <>
            <DataTable
              label="Subjects"
              columns={columns}
              rows={rows}
              idOf={({ subject }) => subject}
              empty={
                asked.prefix || asked.plan
                  ? 'No subject is like that.'
                  : 'No subject was seen yet: the first call of one makes it known.'
              }
            />
            {rows.length > 0 && (
              <More
                shown={rows.length}
                hasMore={subjects.hasNextPage}
                isLoading={subjects.isFetchingNextPage}
                onMore={() => subjects.fetchNextPage()}
              />
            )}
          </>
        ) : (
          <Waiting lines={8} />
        )}
      </Card>
    </>
  );
}
