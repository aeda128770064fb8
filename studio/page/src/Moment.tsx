/** "I was blocked at 10:42": whether there was room limitThen, from the ledger alone. */
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useSearchParams } from 'wouter';
import type { Moment as MomentShape } from '../../server/shapes.ts';
import { get } from './api.ts';
import { fromLocal, number, time, toLocal } from './format.ts';
import { Lines } from './Ledger.tsx';
import { detailOf } from './lines.ts';
import { useFeatureName } from './session.ts';
import { Card, Meter, Refusal, SubjectLink, Time, Waiting } from './ui.tsx';

const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function Moment({ subject }: { subject: string }) {
  const [params, setParams] = useSearchParams();
  const at = params.get('at');
  const [typed, setTyped] = useState(at ? toLocal(at) : '');
  const moment = useQuery({
    queryKey: ['moment', subject, at],
    queryFn: () => get<MomentShape>('moment', { subject, at }),
    enabled: at !== null,
  });
  return (
    <Card title="Was there room at…" className="moment">
      <form
        className="filters"
        onSubmit={(event) => {
          event.preventDefault();
          const instant = fromLocal(typed);
          setParams({ id: subject, ...(instant ? { at: instant } : {}) }, { replace: true });
        }}
      >
        <input
          type="datetime-local"
          aria-label="When it was refused"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
        />
        <span className="quiet">{ZONE}</span>
        <button type="submit" disabled={!typed}>
          Look
        </button>
        {at === null && (
          <span className="quiet">
            A refusal writes nothing; what had been used by then is in the ledger.
          </span>
        )}
      </form>
      {at !== null &&
        (moment.isError ? (
          <Refusal error={moment.error} />
        ) : moment.data ? (
          <Answer moment={moment.data} id={subject} />
        ) : (
          <Waiting />
        ))}
    </Card>
  );
}

function Answer({ moment, id }: { moment: MomentShape; id: string }) {
  const nameOf = useFeatureName();
  const full = moment.limits.filter(({ wasFull }) => wasFull);
  const minute = time(moment.from);
  return (
    <div className="answer">
      {full.length === 0 ? (
        <p className="verdict">
          <b>There was room</b> for one more under every limit at {minute}.{' '}
          {moment.limits.length === 0
            ? 'No limit is known.'
            : 'A larger amount, an open hold, or a feature that the plan lacks may still have been refused.'}
        </p>
      ) : (
        <p className="verdict bad-verdict">
          <b>
            No room at {minute}:{' '}
            {full
              .map(
                ({ feature, period, used, reserved, limit, limitThen, subject }) =>
                  `${number(used + reserved)} of ${number(limitThen ?? limit ?? 0)} ${nameOf(feature)} used in that ${period}${subject === id ? '' : ` by ${subject}`}`,
              )
              .join('; ')}
            .
          </b>{' '}
          A call for more was refused
          {full.every(({ resets_at }) => resets_at) && (
            <>
              {' '}
              until{' '}
              <Time
                at={
                  full
                    .map(({ resets_at }) => resets_at as string)
                    .toSorted()
                    .at(-1) as string
                }
              />
            </>
          )}
          .
        </p>
      )}
      <table className="plain">
        <thead>
          <tr>
            <th scope="col">Limit</th>
            <th scope="col">Used by then</th>
            <th scope="col">Period</th>
          </tr>
        </thead>
        <tbody>
          {moment.limits.map(
            ({
              feature,
              subject,
              period,
              used,
              reserved,
              limit,
              limitThen,
              period_start,
              resets_at,
            }) => (
              <tr key={[feature, subject, period].join('\n')}>
                <th scope="row">
                  {nameOf(feature)} <span className="quiet">/ {period}</span>
                  {subject !== id && (
                    <span className="quiet">
                      {' '}
                      of <SubjectLink id={subject} />
                    </span>
                  )}
                </th>
                <td>
                  <Meter used={used} reserved={reserved} limit={limitThen ?? limit} />
                </td>
                <td className="quiet">
                  {period_start && resets_at
                    ? `${time(period_start)} – ${time(resets_at)}`
                    : 'from the first use on'}
                </td>
              </tr>
            ),
          )}
        </tbody>
      </table>
      {moment.changes.length > 0 && (
        <>
          <h3>Since then the terms changed</h3>
          <ol className="timeline">
            {moment.changes.map((line) => (
              <li key={line.event_id}>
                <Time at={line.at} />
                <span>{detailOf(line)}</span>
              </li>
            ))}
          </ol>
        </>
      )}
      <h3>The ledger around {minute}</h3>
      <Lines
        label="The ledger around that minute"
        rows={[
          ...moment.after.slice(0, 5).toReversed(),
          ...moment.within,
          ...moment.before.slice(0, 5),
        ]}
        classOf={({ at }) => (at >= moment.from && at < moment.until ? 'within' : undefined)}
        empty="Nothing stands there."
      />
    </div>
  );
}
