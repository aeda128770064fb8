/** The small parts that all pages are made of. */
import { type ReactNode, useState } from 'react';
import { Link } from 'wouter';
import type { Refusal as RefusalOf, Status as StatusOf } from '../../server/shapes.ts';
import { refusalOf } from './api.ts';
import { fromNow, number, time } from './format.ts';

export function Card(props: {
  title: string;
  aside?: ReactNode;
  children: ReactNode;
  className?: string;
  hint?: ReactNode;
}) {
  const id = `card-${props.title.toLowerCase().replaceAll(/\W+/g, '-')}`;
  return (
    <section className={['card', props.className].filter(Boolean).join(' ')} aria-labelledby={id}>
      <header className="card-head">
        <h2 id={id}>{props.title}</h2>
        {props.aside && <div className="card-aside">{props.aside}</div>}
      </header>
      {props.hint && <p className="hint">{props.hint}</p>}
      {props.children}
    </section>
  );
}

/** In the database's own words: message, detail, hint, code. */
export function Refusal(props: { error?: unknown; refusal?: RefusalOf; title?: string }) {
  const { title } = props;
  const { message, detail, hint, code } = props.refusal ?? refusalOf(props.error);
  return (
    <div className="refusal" role="alert">
      {title && <p className="refusal-title">{title}</p>}
      <p>
        <strong>{message}</strong>
        {code && <code className="code">{code}</code>}
      </p>
      {detail && <p>{detail}</p>}
      {hint && <p className="quiet">{hint}</p>}
    </div>
  );
}

export const Empty = ({ children }: { children: ReactNode }) => <p className="empty">{children}</p>;

/** What is loaded has its height already, so that nothing jumps. */
export const Waiting = ({ lines = 3 }: { lines?: number }) => (
  <div className="waiting" role="status" aria-label="Loading">
    {Array.from({ length: lines }, (_, n) => (
      // biome-ignore lint/suspicious/noArrayIndexKey: they are all the same
      <span key={n} />
    ))}
  </div>
);

export const Time = ({ at, relative }: { at: string; relative?: boolean }) => (
  <time dateTime={at} title={at}>
    {relative ? fromNow(at) : time(at)}
  </time>
);

const WORDS: Record<StatusOf, string> = {
  ok: 'ok',
  warning: 'near',
  at_limit: 'at limit',
  over_limit: 'over',
};

export const Status = ({ status }: { status: StatusOf }) => (
  <span className={`status ${status}`}>{WORDS[status]}</span>
);

export const statusOf = (used: number, limit: number | null): StatusOf =>
  limit === null
    ? 'ok'
    : used > limit
      ? 'over_limit'
      : used === limit
        ? 'at_limit'
        : used * 100 >= limit * 80
          ? 'warning'
          : 'ok';

/** How full, as a bar and as a number: the bar alone says nothing to who does not see it. */
export function Meter({
  used,
  reserved,
  limit,
}: {
  used: number;
  reserved: number;
  limit: number | null;
}) {
  const share = (units: number) =>
    limit === null ? 0 : limit === 0 ? 100 : Math.min(100, (100 * units) / limit);
  return (
    <span className="meter" data-status={statusOf(used + reserved, limit)}>
      <span className="meter-bar" aria-hidden>
        <span style={{ inlineSize: `${share(used)}%` }} />
        <i style={{ inlineSize: `${Math.min(share(reserved), 100 - share(used))}%` }} />
      </span>
      <span className="num">
        {number(used)}
        {reserved > 0 && <span className="quiet"> + {number(reserved)} held</span>}
        <span className="quiet"> / {limit === null ? '∞' : number(limit)}</span>
      </span>
    </span>
  );
}

export const subjectPath = (id: string) => `/subject?id=${encodeURIComponent(id)}`;

export const SubjectLink = ({ id }: { id: string }) => (
  <Link href={subjectPath(id)} className="id" title={id}>
    {id}
  </Link>
);

export function Statement({ sql }: { sql: string }) {
  const [isCopied, setCopied] = useState(false);
  return (
    <div className="statement">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls, so it must be reached by keys */}
      <pre tabIndex={0}>{sql}</pre>
      <button
        type="button"
        className="small"
        onClick={async () => {
          await navigator.clipboard.writeText(sql);
          setCopied(true);
          setTimeout(() => setCopied(false), 1500);
        }}
      >
        {isCopied ? 'Copied' : 'Copy'}
      </button>
    </div>
  );
}

/** One of a few: buttons of which one is pressed. */
export function Choice<T extends string>(props: {
  label: string;
  value: T;
  options: Record<T, string>;
  onChange: (value: T) => void;
}) {
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset would be a box of its own
    <div className="choice" role="group" aria-label={props.label}>
      {Object.entries<string>(props.options).map(([value, text]) => (
        <button
          key={value}
          type="button"
          aria-pressed={value === props.value}
          onClick={() => props.onChange(value as T)}
        >
          {text}
        </button>
      ))}
    </div>
  );
}
