/** Whether all is well; of what is not, the statement that mends it. */
import { useQuery } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import type { Spot, Verification } from '../../server/shapes.ts';
import { get, post } from './api.ts';
import { number } from './format.ts';
import { useSession } from './session.ts';
import { Card, Refusal, Statement, SubjectLink, Time, Waiting } from './ui.tsx';

export function Health() {
  const { version, packageVersion } = useSession();
  return (
    <>
      <div className="page-head">
        <h1>Health</h1>
        <p className="quiet">
          pgquota <b>{version ?? 'of a release that this role may not ask for'}</b>
          {version !== null && version !== packageVersion && (
            <span className="warn">
              {' '}
              · this package is {packageVersion}: npx pgquota init writes what is new
            </span>
          )}
        </p>
      </div>
      <div className="columns">
        <Proof />
        <Installation />
        <Spots />
        <Tidy />
      </div>
    </>
  );
}

const Well = ({ children }: { children: React.ReactNode }) => (
  <p className="well">
    <span aria-hidden>✓</span> {children}
  </p>
);

/** Every counter against the ledger; of a long one in parts, which can be stopped. */
function Proof() {
  const [state, setState] = useState<Verification | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [isRunning, setRunning] = useState(false);
  const isWanted = useRef(false);
  const run = async () => {
    isWanted.current = true;
    setRunning(true);
    setError(null);
    setState(null);
    let all: Verification['mismatches'] = [];
    let after: string | null = null;
    try {
      do {
        const part: Verification = await post<Verification>('verify', { after });
        all = [...all, ...part.mismatches];
        after = part.next;
        setState({ ...part, mismatches: all });
      } while (after !== null && isWanted.current);
    } catch (failure) {
      setError(failure);
    }
    setRunning(false);
  };
  const isDone = state !== null && state.next === null;
  return (
    <Card
      title="Every number against the ledger"
      aside={
        isRunning ? (
          <button
            type="button"
            className="small"
            onClick={() => {
              isWanted.current = false;
            }}
          >
            Stop
          </button>
        ) : (
          <button type="button" className="small" onClick={run}>
            {state ? 'Prove it again' : 'Prove it'}
          </button>
        )
      }
      hint={
        <>
          <code>verify_usage()</code> adds the ledger up and compares each counter with it. It reads
          only.
        </>
      }
    >
      {error !== null && <Refusal error={error} />}
      {(isRunning || state) && (
        <label className="progress">
          <progress
            max={Math.max(1, state?.total ?? 1)}
            value={isRunning && !state ? undefined : (state?.done ?? 0)}
          />
          <span className="num">
            {state
              ? `${number(state.done)} of ${number(state.total)} subjects`
              : 'reading the ledger…'}
          </span>
        </label>
      )}
      <div role="status">
        {isDone && state.mismatches.length === 0 && <Well>Every number is proved.</Well>}
        {state && state.mismatches.length > 0 && (
          <>
            <p className="bad">
              {number(state.mismatches.length)} numbers are not what the ledger says.
            </p>
            <table className="plain">
              <thead>
                <tr>
                  <th scope="col">Subject</th>
                  <th scope="col">Counter</th>
                  <th scope="col">Counted</th>
                  <th scope="col">Ledger</th>
                </tr>
              </thead>
              <tbody>
                {state.mismatches.slice(0, 100).map((one) => (
                  <tr key={[one.subject, one.feature, one.period, one.period_start].join('\n')}>
                    <td>
                      <SubjectLink id={one.subject} />
                    </td>
                    <td>
                      {one.feature} / {one.period}{' '}
                      {one.period_start && <Time at={one.period_start} />}
                    </td>
                    <td className="num">{number(one.counted)}</td>
                    <td className="num">{number(one.ledger)}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </>
        )}
      </div>
    </Card>
  );
}

function Installation() {
  const found = useQuery({
    queryKey: ['installation'],
    queryFn: () =>
      get<{ object: string; problem: string; statement: string | null }[]>('installation'),
  });
  return (
    <Card
      title="Installation"
      hint={
        <>
          <code>verify_installation()</code> compares bodies, owners, rights, policies, triggers and
          indexes with the release.
        </>
      }
    >
      {found.isError ? (
        <Refusal error={found.error} />
      ) : found.data ? (
        found.data.length === 0 ? (
          <Well>As this release made it.</Well>
        ) : (
          <ul className="spots">
            {found.data.map(({ object, problem, statement }) => (
              <li key={`${object} ${problem}`}>
                <p>
                  <b className="id">{object}</b>: {problem}
                </p>
                {statement ? (
                  <Statement sql={statement} />
                ) : (
                  <p className="quiet">npx pgquota doctor --sql prints what puts it right.</p>
                )}
              </li>
            ))}
          </ul>
        )
      ) : (
        <Waiting />
      )}
    </Card>
  );
}

function Spots() {
  const found = useQuery({
    queryKey: ['spots'],
    queryFn: () => get<Spot[]>('spots'),
    refetchInterval: 30_000,
  });
  return (
    <Card
      title="Slow spots"
      hint="Broken indexes, dead rows, updates that were not HOT, and old snapshots that keep both from being mended."
    >
      {found.isError ? (
        <Refusal error={found.error} />
      ) : found.data ? (
        found.data.length === 0 ? (
          <Well>None is known.</Well>
        ) : (
          <ul className="spots">
            {found.data.map(({ what, why, statement, level }) => (
              <li key={what} data-level={level}>
                <p>
                  <b>{what}</b>
                  <span className="quiet block">{why}</span>
                </p>
                {statement && <Statement sql={statement} />}
              </li>
            ))}
          </ul>
        )
      ) : (
        <Waiting />
      )}
    </Card>
  );
}

function Tidy() {
  const found = useQuery({
    queryKey: ['tidy'],
    queryFn: () => get<{ what: string; rows: number }[]>('tidy'),
  });
  const rows = found.data?.reduce((sum, one) => sum + one.rows, 0) ?? 0;
  return (
    <Card
      title="What tidy() would remove"
      hint="No answer depends on it: run it daily, at any time, or never. The ledger stays whole."
    >
      {found.isError ? (
        <Refusal error={found.error} />
      ) : found.data ? (
        <>
          <table className="plain">
            <thead className="hidden">
              <tr>
                <th scope="col">What</th>
                <th scope="col">Rows</th>
              </tr>
            </thead>
            <tbody>
              {found.data.map(({ what, rows: count }) => (
                <tr key={what}>
                  <th scope="row">{what}</th>
                  <td className="num">{number(count)}</td>
                </tr>
              ))}
            </tbody>
          </table>
          {rows > 0 ? <Statement sql="select quota.tidy();" /> : <Well>Nothing.</Well>}
        </>
      ) : (
        <Waiting />
      )}
    </Card>
  );
}
