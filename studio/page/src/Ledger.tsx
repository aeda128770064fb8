/** The ledger of a subject, newest first, with filters; each use can be given back. */
import { useInfiniteQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import type { LedgerLine, Page } from '../../server/shapes.ts';
import type { Asked } from './actions.ts';
import { get } from './api.ts';
import { type Column, DataTable, More } from './DataTable.tsx';
import { fromLocal, signed } from './format.ts';
import { detailOf, isUse } from './lines.ts';
import { useSession } from './session.ts';
import { Card, Refusal, Time, Waiting } from './ui.tsx';

const KINDS: Record<string, string> = {
  '': 'all lines',
  'consume,batch,commit,cost,level,table': 'use',
  'refund,return,reset': 'given back',
  'reserve,commit,release,expire': 'holds',
  'grant,void,draw': 'grants',
  'plan,limit,value,member,parent,merge': 'terms',
};

export function Ledger({ subject, onAct }: { subject: string; onAct: (asked: Asked) => void }) {
  const { features } = useSession();
  const [asked, setAsked] = useState({ feature: '', kind: '', actor: '', from: '', until: '' });
  const set = (changed: Partial<typeof asked>) => setAsked((former) => ({ ...former, ...changed }));
  const ledger = useInfiniteQuery({
    queryKey: ['ledger', subject, asked],
    queryFn: ({ pageParam }) =>
      get<Page<LedgerLine>>('ledger', {
        subject,
        ...asked,
        ...{ from: fromLocal(asked.from), until: fromLocal(asked.until), before: pageParam },
      }),
    initialPageParam: null as string | null,
    getNextPageParam: ({ next }) => next,
    placeholderData: (former) => former,
    refetchInterval: 10_000,
  });
  const rows = useMemo(() => ledger.data?.pages.flatMap((page) => page.rows) ?? [], [ledger.data]);
  return (
    <Card
      title="Ledger"
      aside={
        <div className="filters">
          <select
            aria-label="Kind of line"
            value={asked.kind}
            onChange={(event) => set({ kind: event.target.value })}
          >
            {Object.entries(KINDS).map(([value, text]) => (
              <option key={value} value={value}>
                {text}
              </option>
            ))}
          </select>
          <select
            aria-label="Feature of the ledger"
            value={asked.feature}
            onChange={(event) => set({ feature: event.target.value })}
          >
            <option value="">all features</option>
            {features.map(({ feature, name }) => (
              <option key={feature} value={feature}>
                {name}
              </option>
            ))}
          </select>
          <input
            aria-label="Actor"
            placeholder="Actor…"
            value={asked.actor}
            onChange={(event) => set({ actor: event.target.value })}
          />
          <input
            type="datetime-local"
            aria-label="From"
            value={asked.from}
            onChange={(event) => set({ from: event.target.value })}
          />
          <input
            type="datetime-local"
            aria-label="Until"
            value={asked.until}
            onChange={(event) => set({ until: event.target.value })}
          />
        </div>
      }
    >
      {ledger.isError ? (
        <Refusal error={ledger.error} />
      ) : ledger.data ? (
        <>
          <Lines label="Ledger" rows={rows} onAct={onAct} empty="There is no such line." />
          {rows.length > 0 && (
            <More
              shown={rows.length}
              hasMore={ledger.hasNextPage}
              isLoading={ledger.isFetchingNextPage}
              onMore={() => ledger.fetchNextPage()}
            />
          )}
        </>
      ) : (
        <Waiting lines={8} />
      )}
    </Card>
  );
}

export function Lines(props: {
  label: string;
  rows: LedgerLine[];
  empty: string;
  onAct?: (asked: Asked) => void;
  classOf?: (line: LedgerLine) => string | undefined;
  withSubject?: (id: string) => React.ReactNode;
}) {
  const { onAct, withSubject } = props;
  const { readOnly } = useSession();
  const columns = useMemo<Column<LedgerLine>[]>(
    () => [
      { id: 'at', header: 'At', cell: ({ row }) => <Time at={row.original.at} /> },
      ...(withSubject
        ? [
            {
              id: 'subject',
              header: 'Subject',
              cell: ({ row }) => withSubject(row.original.subject),
            } satisfies Column<LedgerLine>,
          ]
        : []),
      {
        id: 'kind',
        header: 'Line',
        cell: ({ row: { original } }) => (
          <span className={`kind ${original.kind}`}>{original.kind}</span>
        ),
      },
      { id: 'feature', header: 'Feature', cell: ({ row }) => row.original.feature ?? '' },
      {
        id: 'change',
        header: 'Change',
        cell: ({ row: { original } }) => (
          <span className="num">
            {original.used_change !== 0 && signed(original.used_change)}
            {original.reserved_change !== 0 && (
              <span className="quiet"> {signed(original.reserved_change)} held</span>
            )}
            {original.drawn_change !== 0 && (
              <span className="quiet"> {signed(original.drawn_change)} drawn</span>
            )}
          </span>
        ),
      },
      {
        id: 'detail',
        header: 'What',
        cell: ({ row: { original } }) => (
          <span className="detail" title={JSON.stringify(original.metadata)}>
            {original.actor && <span className="id">{original.actor} </span>}
            {detailOf(original)}
          </span>
        ),
      },
      ...(onAct && readOnly === null
        ? [
            {
              id: 'act',
              header: () => <span className="hidden">Actions</span>,
              cell: ({ row: { original } }) =>
                isUse(original) && (
                  <button
                    type="button"
                    className="small"
                    onClick={() =>
                      onAct({
                        action: 'refund',
                        given: { event_id: original.event_id, amount: null },
                        note: original,
                      })
                    }
                  >
                    Refund…
                  </button>
                ),
            } satisfies Column<LedgerLine>,
          ]
        : []),
    ],
    [onAct, withSubject, readOnly],
  );
  return (
    <DataTable
      label={props.label}
      columns={columns}
      rows={props.rows}
      idOf={({ event_id }) => event_id}
      empty={props.empty}
      {...(props.classOf ? { classOf: props.classOf } : {})}
    />
  );
}
