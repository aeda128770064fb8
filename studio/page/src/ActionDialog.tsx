/**
 * One action: what is asked, what it will do (the database does it and takes it back), why, and a confirmation.
 * What the database refuses is shown in its own words.
 */
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useId, useRef, useState } from 'react';
import type { Act, Effect, Snapshot, Subject } from '../../server/shapes.ts';
import {
  type Asked,
  beginOf,
  type Field,
  fieldsOf,
  type Given,
  isAskable,
  SAYS,
  TITLES,
} from './actions.ts';
import { post } from './api.ts';
import { fromLocal, number, signed, time, toLocal } from './format.ts';
import { detailOf } from './lines.ts';
import { useFeatureName, useSession } from './session.ts';
import { Refusal, Statement } from './ui.tsx';

export function ActionDialog(props: { asked: Asked; data: Subject; onClose: () => void }) {
  const { asked, data, onClose } = props;
  const { action } = asked;
  const session = useSession();
  const queries = useQueryClient();
  const dialog = useRef<HTMLDialogElement>(null);
  const title = useId();
  const [given, setGiven] = useState<Given>(() => beginOf(asked, session, data));
  const [reason, setReason] = useState('');
  const [typedId, setTypedId] = useState('');
  // Of one dialog: a second click, or an answer that was lost, does it once.
  const [key] = useState(() => `studio ${crypto.randomUUID()}`);
  const fields = fieldsOf(action, session, data, given);
  const act: Act = { action, subject: data.subject, arguments: given, reason, key };
  const now = JSON.stringify({ action, given });
  const settled = useSettled(now);
  const isAsked = isAskable(action, fields, given);
  const preview = useQuery({
    queryKey: ['preview', data.subject, settled],
    queryFn: () =>
      post<Effect>('preview', { ...act, reason: '', key: `preview ${crypto.randomUUID()}` }),
    enabled: isAsked && settled === now,
    staleTime: 0,
    gcTime: 0,
  });
  const doing = useMutation({
    mutationFn: () => post<Effect>('act', act),
    onSuccess: () => queries.invalidateQueries(),
  });

  useEffect(() => {
    dialog.current?.showModal();
  }, []);

  // Of what stands in the form now, and of nothing that stood there before.
  const isCurrent = settled === now && isAsked;
  const isReady =
    isCurrent &&
    preview.isSuccess &&
    reason.trim() !== '' &&
    (action !== 'forget' || typedId === data.subject) &&
    !doing.isPending;

  return (
    <dialog
      ref={dialog}
      aria-labelledby={title}
      className="action"
      onClose={onClose}
      onCancel={onClose}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady) doing.mutate();
        }}
      >
        <header>
          <h2 id={title}>
            {TITLES[action]} <span className="id">{data.subject}</span>
          </h2>
          <p className="quiet">{SAYS[action]}</p>
        </header>
        {doing.isSuccess ? (
          <div className="done" role="status">
            <p>
              <b>Done.</b> The ledger has it.
            </p>
            <Changes effect={doing.data} />
            <div className="dialog-foot">
              <button type="button" className="main" onClick={onClose}>
                Close
              </button>
            </div>
          </div>
        ) : (
          <>
            <div className="fields">
              {fields.map((field) => (
                <FieldOf
                  key={field.name}
                  field={field}
                  value={given[field.name] ?? null}
                  onChange={(value) => setGiven((former) => ({ ...former, [field.name]: value }))}
                />
              ))}
            </div>
            <section
              className="preview"
              aria-label="What it will do"
              aria-live="polite"
              aria-busy={isAsked && (!isCurrent || preview.isFetching)}
            >
              <h3>What it will do</h3>
              {isCurrent && preview.isError ? (
                <Refusal error={preview.error} title="The database refuses:" />
              ) : isCurrent && preview.data ? (
                <Changes effect={preview.data} />
              ) : (
                <p className="quiet">
                  {isAsked ? 'Asking the database…' : 'Fill in what is missing.'}
                </p>
              )}
            </section>
            <label className="wide">
              <span>
                Reason{' '}
                <span className="quiet">
                  {action === 'forget'
                    ? 'for your own record: the ledger is erased'
                    : 'kept in the ledger'}
                </span>
              </span>
              <textarea
                rows={2}
                required
                value={reason}
                onChange={(event) => setReason(event.target.value)}
              />
            </label>
            {action === 'forget' && (
              <label className="wide">
                <span>Type the subject’s id to confirm</span>
                <input
                  autoComplete="off"
                  spellCheck={false}
                  value={typedId}
                  onChange={(event) => setTypedId(event.target.value)}
                />
              </label>
            )}
            {doing.isError && <Refusal error={doing.error} title="The database refuses:" />}
            <div className="dialog-foot">
              <button type="button" onClick={onClose}>
                Cancel
              </button>
              <button
                type="submit"
                className={action === 'forget' ? 'danger' : 'main'}
                disabled={!isReady}
              >
                {doing.isPending ? 'One moment…' : TITLES[action]}
              </button>
            </div>
          </>
        )}
      </form>
    </dialog>
  );
}

function FieldOf(props: {
  field: Field;
  value: string | number | null;
  onChange: (value: string | number | null) => void;
}) {
  const { field, value, onChange } = props;
  const shared = { 'aria-label': field.label, required: field.isRequired };
  return (
    // biome-ignore lint/a11y/noLabelWithoutControl: the control is one of those below
    <label>
      <span>
        {field.label} {field.hint && <span className="quiet">{field.hint}</span>}
      </span>
      {field.kind === 'choice' ? (
        <select
          {...shared}
          value={value ?? ''}
          onChange={(event) => onChange(event.target.value || null)}
        >
          {field.options?.map(([one, text]) => (
            <option key={one} value={one}>
              {text}
            </option>
          ))}
        </select>
      ) : field.kind === 'instant' ? (
        <input
          {...shared}
          type="datetime-local"
          value={value === null ? '' : toLocal(String(value))}
          onChange={(event) => onChange(fromLocal(event.target.value))}
        />
      ) : (
        <input
          {...shared}
          inputMode={field.kind === 'number' ? 'numeric' : undefined}
          value={value ?? ''}
          onChange={(event) => {
            const typed = event.target.value.trim();
            if (field.kind === 'text') return onChange(event.target.value || null);
            onChange(typed === '' ? null : /^-?\d+$/.test(typed) ? Number(typed) : typed);
          }}
        />
      )}
    </label>
  );
}

/** Before and after, of what differs alone; and the lines that the ledger has then. */
function Changes({ effect }: { effect: Effect }) {
  const nameOf = useFeatureName();
  const rows = differences(effect.before, effect.after, nameOf);
  return (
    <>
      {rows.length === 0 ? (
        <p>Nothing changes.</p>
      ) : (
        <table className="plain changes">
          <thead>
            <tr>
              <th scope="col">What</th>
              <th scope="col">Now</th>
              <th scope="col">{effect.applied ? 'Since' : 'Then'}</th>
            </tr>
          </thead>
          <tbody>
            {rows.map(([what, before, after]) => (
              <tr key={what}>
                <th scope="row">{what}</th>
                <td className="num former">{before}</td>
                <td className="num">{after}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {effect.lines.length > 0 && (
        <p className="quiet">
          Lines in the ledger:{' '}
          {effect.lines
            .map(
              (line) =>
                `${line.kind}${line.used_change ? ` ${signed(line.used_change)}` : ''}${line.kind === 'refund' ? '' : ` (${detailOf(line)})`}`,
            )
            .join('; ')}
        </p>
      )}
      <details>
        <summary>The statement</summary>
        <Statement sql={effect.statement} />
      </details>
    </>
  );
}

type Difference = [what: string, before: string, after: string];

function differences(
  before: Snapshot,
  after: Snapshot,
  nameOf: (id: string) => string,
): Difference[] {
  const shown = (value: string | null) => (value === null ? '–' : time(value));
  const rows: Difference[] = [
    ['Plan', before.plan ?? 'none', after.plan ?? 'none'],
    ['Plan ends', shown(before.plan_ends_at), shown(after.plan_ends_at)],
    ['Periods from', shown(before.anchor_at), shown(after.anchor_at)],
    ['Time zone', before.time_zone, after.time_zone],
    ['Left of grants', number(before.grants), number(after.grants)],
    ['Open holds', number(before.holds), number(after.holds)],
  ];
  const keyOf = (limit: Snapshot['limits'][number]) =>
    [limit.feature, limit.period, limit.subject, limit.member].join('\n');
  const [was, is] = [before, after].map(
    ({ limits }) => new Map(limits.map((limit) => [keyOf(limit), limit])),
  ) as [Map<string, Snapshot['limits'][number]>, Map<string, Snapshot['limits'][number]>];
  for (const id of new Set([...was.keys(), ...is.keys()])) {
    const [one, other] = [was.get(id), is.get(id)];
    const limit = one ?? other;
    const what = `${nameOf(limit?.feature ?? '')} / ${limit?.period ?? 'in the plan'}${limit?.member ? ` of ${limit.member}` : ''}`;
    rows.push([what, sayLimit(one), sayLimit(other)]);
  }
  if (after.lines < before.lines)
    rows.push(['Ledger lines', number(before.lines), number(after.lines)]);
  if (before.isKnown && !after.isKnown) rows.push(['Known', 'yes', 'no']);
  return rows.filter(([, former, latter]) => former !== latter);
}

function sayLimit(limit: Snapshot['limits'][number] | undefined): string {
  if (!limit) return '–';
  if (limit.period === null) return 'not in the plan';
  const most = limit.unlimited ? '∞' : number(limit.limit ?? 0);
  const held = limit.reserved > 0 ? ` + ${number(limit.reserved)} held` : '';
  return `${number(limit.used)}${held} of ${most}${limit.source === 'exception' ? ' (exception)' : ''}`;
}

/** What stays the same for a moment: each key that is typed is no question. */
function useSettled(value: string): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 300);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}
