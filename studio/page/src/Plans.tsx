/** The plan document: what holds, what would change, whom it meets, what customers see; and applying it. */
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import type { createUsageClient, PlanCatalog } from 'pgquota';
import { PricingTable, UsageProvider, type UsageSource } from 'pgquota/react';
import { useEffect, useMemo, useRef, useState } from 'react';
import type { Change, Impact, Judgement } from '../../server/shapes.ts';
import { get, post } from './api.ts';
import { type Column, DataTable } from './DataTable.tsx';
import { Editor } from './Editor.tsx';
import { number } from './format.ts';
import { useSession } from './session.ts';
import { Card, Choice, Empty, Refusal, SubjectLink, Time, Waiting } from './ui.tsx';

interface Held {
  text: string;
  unsaid: Change[];
}

/** Of a database that has no plans yet. */
const FIRST = `{
  "$schema": "https://unpkg.com/pgquota/schema/plans.schema.json",
  "features": {},
  "plans": {}
}
`;

export default function Plans() {
  const held = useQuery({
    queryKey: ['plans'],
    queryFn: () => get<Held>('plans'),
    // What is being typed is not to be replaced.
    refetchOnWindowFocus: false,
  });
  if (held.isError) return <Refusal error={held.error} />;
  if (!held.data) return <Waiting lines={12} />;
  const isFirst = held.data.text.includes('"features": {}');
  return (
    <Document key={held.dataUpdatedAt} held={isFirst ? { ...held.data, text: FIRST } : held.data} />
  );
}

const NOTHING: Judgement = { faults: [], changes: [], refusal: null };

function Document({ held }: { held: Held }) {
  const { readOnly } = useSession();
  const queries = useQueryClient();
  const [text, setText] = useState(held.text);
  const [view, setView] = useState<'text' | 'diff'>('text');
  const [asked, setAsked] = useState('');
  const confirmation = useRef<HTMLDialogElement>(null);
  const isChanged = text !== held.text;
  useEffect(() => {
    const timer = setTimeout(() => setAsked(text), 400);
    return () => clearTimeout(timer);
  }, [text]);
  const judged = useQuery({
    queryKey: ['judge', asked, held.text],
    queryFn: () => post<Judgement>('judge', { text: asked }),
    enabled: asked !== '' && asked !== held.text,
    placeholderData: (former) => former,
  });
  const judgement = isChanged ? (judged.data ?? NOTHING) : NOTHING;
  const isJudged = isChanged && asked === text && judged.isSuccess && !judged.isPlaceholderData;
  const isGood = isJudged && judgement.faults.length === 0 && judgement.refusal === null;
  const apply = useMutation({
    mutationFn: () => post<Change[]>('apply', { text }),
    onSuccess: () => {
      confirmation.current?.close();
      return queries.invalidateQueries();
    },
  });
  return (
    <>
      <div className="page-head">
        <h1>Plans</h1>
        <div className="actions">
          <Choice
            label="View"
            value={view}
            options={{ text: 'Document', diff: 'Against what holds' }}
            onChange={setView}
          />
          <button type="button" disabled={!isChanged} onClick={() => setText(held.text)}>
            Undo all
          </button>
          {readOnly === null && (
            <button
              type="button"
              className="main"
              disabled={!isGood || judgement.changes.length === 0}
              onClick={() => confirmation.current?.showModal()}
            >
              Apply…
            </button>
          )}
        </div>
      </div>
      {held.unsaid.length > 0 && (
        <p className="notice">
          The document below does not say all that holds: applying it as it stands would make{' '}
          {held.unsaid.length} changes. Take the document of your repository instead.
        </p>
      )}
      <div className="two plans">
        <Card
          title="plans.json"
          aside={
            <span className="quiet" role="status">
              {!isChanged
                ? 'as it holds'
                : !isJudged
                  ? 'reading…'
                  : judgement.faults.length
                    ? `${judgement.faults.length} ${judgement.faults.length === 1 ? 'fault' : 'faults'}`
                    : judgement.refusal
                      ? 'refused'
                      : `${judgement.changes.length} ${judgement.changes.length === 1 ? 'change' : 'changes'}`}
            </span>
          }
          className="editor-card"
        >
          <Editor
            text={text}
            original={held.text}
            showsDiff={view === 'diff'}
            isReadOnly={false}
            faults={judgement.faults}
            onChange={setText}
          />
        </Card>
        <div className="stack">
          <Card title="What changes">
            {judged.isError && isChanged ? (
              <Refusal error={judged.error} />
            ) : judgement.refusal ? (
              <Refusal refusal={judgement.refusal} title="The database refuses:" />
            ) : judgement.faults.length > 0 ? (
              <ol className="faults">
                {judgement.faults.slice(0, 20).map(({ message, from }) => (
                  <li key={`${from} ${message}`}>
                    {from !== null && (
                      <span className="quiet num">
                        line {text.slice(0, from).split('\n').length}{' '}
                      </span>
                    )}
                    {message}
                  </li>
                ))}
              </ol>
            ) : (
              <Changes changes={judgement.changes} isChanged={isChanged} />
            )}
          </Card>
          <Impacts text={asked} isGood={isGood} />
        </div>
      </div>
      <Offer text={isGood ? asked : null} isChanged={isChanged} canTry={readOnly === null} />
      <dialog ref={confirmation} className="action" aria-labelledby="apply">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            apply.mutate();
          }}
        >
          <header>
            <h2 id="apply">Apply {judgement.changes.length} changes</h2>
            <p className="quiet">
              They hold at once, for callers that are waiting, too. Keep the document in your
              repository: the next deployment applies that one.
            </p>
          </header>
          <Changes changes={judgement.changes} isChanged />
          {apply.isError && <Refusal error={apply.error} title="The database refuses:" />}
          <div className="dialog-foot">
            <button type="button" onClick={() => confirmation.current?.close()}>
              Cancel
            </button>
            <button type="submit" className="main" disabled={apply.isPending}>
              {apply.isPending ? 'One moment…' : 'Apply'}
            </button>
          </div>
        </form>
      </dialog>
    </>
  );
}

const SIGNS: Record<string, string> = { add: '+', change: '~', remove: '−' };

function Changes({ changes, isChanged }: { changes: Change[]; isChanged: boolean }) {
  if (changes.length === 0) {
    return (
      <Empty>
        {isChanged ? 'Nothing: it says what holds.' : 'Nothing yet: the document is as it holds.'}
      </Empty>
    );
  }
  return (
    <ul className="diff">
      {changes.map(({ action, kind, id, detail }) => (
        <li key={`${kind} ${id}`} data-action={action}>
          <span className="sign" aria-hidden>
            {SIGNS[action]}
          </span>
          <span>
            <span className="hidden">{action} </span>
            <span className="quiet">{kind}</span> <b className="id">{id}</b>{' '}
            <span className="num">{detail}</span>
          </span>
        </li>
      ))}
    </ul>
  );
}

/** Who has used more than a new limit will allow. */
function Impacts({ text, isGood }: { text: string; isGood: boolean }) {
  const impact = useQuery({
    queryKey: ['impact', text],
    queryFn: () => post<Impact[]>('impact', { text }),
    enabled: isGood,
  });
  const columns = useMemo<Column<Impact>[]>(
    () => [
      {
        id: 'subject',
        header: 'Subject',
        cell: ({ row }) => <SubjectLink id={row.original.subject} />,
      },
      {
        id: 'plan',
        header: 'Plan',
        cell: ({ row: { original } }) =>
          original.former_plan === original.plan
            ? original.plan
            : `${original.former_plan} → ${original.plan}`,
      },
      {
        id: 'feature',
        header: 'Limit',
        cell: ({ row: { original } }) => `${original.feature} / ${original.period}`,
      },
      {
        id: 'used',
        header: 'Used',
        cell: ({ row: { original } }) => (
          <span className="num">
            {number(original.used)} of {number(original.limit)}
          </span>
        ),
      },
      {
        id: 'over',
        header: 'Over',
        cell: ({ row }) => <span className="num bad">{number(row.original.over)}</span>,
      },
      {
        id: 'at',
        header: 'From',
        cell: ({ row: { original } }) =>
          original.is_later ? <Time at={original.at} /> : 'at once',
      },
    ],
    [],
  );
  const subjects = new Set(impact.data?.map(({ subject }) => subject)).size;
  return (
    <Card
      title="Who would be over"
      aside={
        isGood &&
        impact.data &&
        subjects > 0 &&
        `${number(subjects)} ${subjects === 1 ? 'subject' : 'subjects'}`
      }
    >
      {!isGood ? (
        <Empty>A document that changes something says it here.</Empty>
      ) : impact.isError ? (
        <Refusal error={impact.error} />
      ) : impact.data ? (
        <DataTable
          label="Who would be over"
          columns={columns}
          rows={impact.data}
          idOf={({ subject, feature, period, at }) => [subject, feature, period, at].join('\n')}
          empty="Nobody has used more than a new limit allows."
        />
      ) : (
        <Waiting />
      )}
    </Card>
  );
}

/** The pricing table of pgquota/react, over rows that were asked for already. */
function Offer(props: { text: string | null; isChanged: boolean; canTry: boolean }) {
  const isTried = props.isChanged && props.text !== null && props.canTry;
  const offer = useQuery({
    queryKey: ['offer', isTried ? props.text : null],
    queryFn: () =>
      isTried ? post<PlanCatalog[]>('try', { text: props.text }) : post<PlanCatalog[]>('offer', {}),
    placeholderData: (former) => former,
  });
  return (
    <Card title="As customers see it" aside={isTried ? 'as it would be' : 'as it holds'}>
      {offer.isError ? (
        <Refusal error={offer.error} />
      ) : offer.data ? (
        offer.data.length ? (
          <Pricing key={offer.dataUpdatedAt} rows={offer.data} />
        ) : (
          <Empty>No plan is on offer.</Empty>
        )
      ) : (
        <Waiting />
      )}
    </Card>
  );
}

function Pricing({ rows }: { rows: PlanCatalog[] }) {
  const client = useMemo(() => sourceOf(rows), [rows]);
  return (
    <UsageProvider client={client} user={null}>
      <PricingTable onChoose={payNothing} />
    </UsageProvider>
  );
}

const payNothing = () => {
  throw new Error('This is how it looks: a customer would be led to the payment.');
};

/** Answers plan_catalog, which is all that the table asks for. */
function sourceOf(rows: PlanCatalog[]): UsageSource {
  const answer = (data: unknown) => Promise.resolve({ data, error: null, status: 200 });
  return {
    from: (view: string) => ({ select: () => answer(view === 'plan_catalog' ? rows : []) }),
    rpc: () => answer(null),
  } as unknown as Parameters<typeof createUsageClient>[0];
}
