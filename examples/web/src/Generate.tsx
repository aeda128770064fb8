import { type Refused, UpgradeAction, useUsage, useUsageFormat } from 'pgquota/react';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import { generate, type Session } from './api.ts';

interface GenerateProps {
  session: Session;
  onRefuse(refused: Refused): void;
}

const FEATURE = 'ai_generation';

export function Generate({ session, onRefuse }: GenerateProps) {
  const [drafts, setDrafts] = useState(5);
  const [texts, setTexts] = useState<string[]>([]);
  const [status, setStatus] = useState('');
  const [running, setRunning] = useState<AbortController | null>(null);
  const { tightest, refresh } = useUsage({ feature: FEATURE });
  const { number } = useUsageFormat();
  const left = tightest?.remaining ?? Number.POSITIVE_INFINITY;
  const field = useRef<HTMLTextAreaElement>(null);

  const list = useRef<HTMLOListElement>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what was written last stays in view
  useEffect(() => {
    list.current?.scrollTo(0, list.current.scrollHeight);
  }, [texts]);

  async function submit(event: FormEvent) {
    event.preventDefault();
    if (running) return running.abort();
    const stop = new AbortController();
    setRunning(stop);
    setStatus('Writing …');
    let shown = false;
    const onText = (draft: number, text: string) => {
      const isFirst = !shown;
      if (isFirst) refresh(); // the hold shows while it writes
      shown = true;
      setTexts((before) => {
        // A refusal leaves the former ones where they are.
        const after = isFirst ? [] : [...before];
        after[draft] = (after[draft] ?? '') + text;
        return after;
      });
    };
    try {
      const asked = { prompt: field.current?.value ?? '', drafts };
      const refusal = await generate(session, asked, onText, stop.signal);
      if (!refusal) setStatus(`Written and counted: ${drafts}.`);
      else if (refusal.code === 'USAGE_LIMIT_EXCEEDED') {
        setStatus('');
        onRefuse({ feature: FEATURE, amount: drafts });
      } else setStatus(`${refusal.error}. ${refusal.usage?.amount ?? 'Nothing'} was counted.`);
    } catch (error) {
      setStatus(
        stop.signal.aborted ? 'Stopped. Drafts that were begun are counted.' : String(error),
      );
    }
    setRunning(null);
    refresh();
  }

  return (
    <form className="card" aria-labelledby="generate" onSubmit={submit}>
      <div className="card-head">
        <h2 id="generate">Write something</h2>
      </div>
      <label htmlFor="prompt">What about?</label>
      <textarea
        id="prompt"
        ref={field}
        rows={2}
        required
        maxLength={2000}
        defaultValue="A line on our landing page about fair limits"
      />
      <div className="actions">
        <fieldset className="amounts">
          <legend>Drafts</legend>
          <div className="choice">
            {[1, 5, 10].map((amount) => (
              <label key={amount}>
                <input
                  type="radio"
                  name="drafts"
                  checked={amount === drafts}
                  onChange={() => setDrafts(amount)}
                />
                <span>{amount}</span>
              </label>
            ))}
          </div>
        </fieldset>
        <button type="submit" className="main">
          {running ? 'Stop' : 'Generate'}
        </button>
      </div>
      <p className="left">
        {tightest && left < drafts && !running && (
          <>
            <span>
              {left === 0 ? 'None' : `Only ${number(left)}`} left this {tightest.period}.
            </span>
            <UpgradeAction
              row={tightest}
              onUpgrade={() => onRefuse({ feature: FEATURE, amount: drafts })}
            />
          </>
        )}
      </p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: the keyboard scrolls it */}
      <ol className="drafts" aria-label="Drafts" ref={list} tabIndex={0}>
        {texts.map((text, at) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: drafts only ever grow at the end
          <li key={at}>{text}</li>
        ))}
        {texts.length === 0 && (
          <li className="empty">
            Each draft uses one AI generation. Write [fail] to see a failure, which costs nothing.
          </li>
        )}
      </ol>
      <p className="status" role="status">
        {status}
      </p>
    </form>
  );
}
