/** What happens now: the ledger's end, looked at every second. No NOTIFY: it would slow counting down. */
import { useCallback, useEffect, useMemo, useState } from 'react';
import type { LedgerLine } from '../../server/shapes.ts';
import { get } from './api.ts';
import { Lines } from './Ledger.tsx';
import { useSession } from './session.ts';
import { Card, Refusal, SubjectLink } from './ui.tsx';

const EVERY = 1_000;
const MOST = 400;

export function Live() {
  const { features } = useSession();
  const [lines, setLines] = useState<LedgerLine[]>([]);
  const [fresh, setFresh] = useState<Set<string>>(new Set());
  const [isPaused, setPaused] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const [isCut, setCut] = useState(false);
  const [wanted, setWanted] = useState({ subject: '', feature: '' });

  useEffect(() => {
    if (isPaused) return;
    let isOver = false;
    let timer: ReturnType<typeof setTimeout>;
    let since: string | null = null;
    const look = async () => {
      try {
        const answer = await get<{ lines: LedgerLine[]; now: string; isCut: boolean }>('live', {
          since,
        });
        if (isOver) return;
        const isFirst = since === null;
        since = answer.now;
        setError(null);
        setCut(answer.isCut);
        setLines((former) => {
          const known = new Set(former.map(({ event_id }) => event_id));
          const coming = answer.lines.filter(({ event_id }) => !known.has(event_id));
          if (coming.length === 0) return former;
          setFresh(new Set(isFirst ? [] : coming.map(({ event_id }) => event_id)));
          return [...coming, ...former]
            .sort((a, b) => (a.event_id < b.event_id ? 1 : -1))
            .slice(0, MOST);
        });
      } catch (failure) {
        if (!isOver) setError(failure);
      }
      if (!isOver) timer = setTimeout(look, EVERY);
    };
    look();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [isPaused]);

  const shown = useMemo(
    () =>
      lines.filter(
        ({ subject, feature }) =>
          subject.startsWith(wanted.subject) && (!wanted.feature || feature === wanted.feature),
      ),
    [lines, wanted],
  );
  const perMinute = useMemo(() => {
    const since = Date.now() - 60_000;
    return lines.filter(({ at }) => new Date(at).getTime() > since).length;
  }, [lines]);
  const withSubject = useCallback((id: string) => <SubjectLink id={id} />, []);
  return (
    <>
      <div className="page-head">
        <h1>Live</h1>
        <div className="actions">
          <span className="quiet num">
            {perMinute >= MOST ? `${MOST} and more` : perMinute} lines in the last minute
          </span>
          <button type="button" aria-pressed={isPaused} onClick={() => setPaused(!isPaused)}>
            {isPaused ? 'Go on' : 'Pause'}
          </button>
        </div>
      </div>
      <Card
        title="The end of the ledger"
        hint="Lines of calls that counted. A refusal writes nothing, so it is not here; a line that is committed late stands where it was made."
        aside={
          <div className="filters">
            <input
              type="search"
              aria-label="Subject begins with"
              placeholder="Subject begins with…"
              value={wanted.subject}
              onChange={(event) => setWanted({ ...wanted, subject: event.target.value })}
            />
            <select
              aria-label="Feature"
              value={wanted.feature}
              onChange={(event) => setWanted({ ...wanted, feature: event.target.value })}
            >
              <option value="">all features</option>
              {features.map(({ feature, name }) => (
                <option key={feature} value={feature}>
                  {name}
                </option>
              ))}
            </select>
          </div>
        }
      >
        {error !== null && <Refusal error={error} />}
        {isCut && <p className="notice">More lines come than can be shown: the latest are.</p>}
        <Lines
          label="The end of the ledger"
          rows={shown}
          empty="Nothing has happened yet."
          withSubject={withSubject}
          classOf={({ event_id }) => (fresh.has(event_id) ? 'fresh' : undefined)}
        />
      </Card>
    </>
  );
}
