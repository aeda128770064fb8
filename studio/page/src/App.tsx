/** The frame: where one is, the search for a subject, and the keys that lead everywhere. */
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';
import { Link, Route, Switch, useLocation } from 'wouter';
import type { Page, Session, SubjectRow } from '../../server/shapes.ts';
import { get } from './api.ts';
import { Health } from './Health.tsx';
import { Live } from './Live.tsx';
import { Overview } from './Overview.tsx';
import { Subject } from './Subject.tsx';
import { Subjects } from './Subjects.tsx';
import { SessionContext } from './session.ts';
import { applyTheme, type Theme, useTheme } from './theme.ts';
import { Refusal, subjectPath, Waiting } from './ui.tsx';

// The editor is the larger half of everything.
const Plans = lazy(() => import('./Plans.tsx'));

const PLACES = [
  ['/', 'Overview', 'o'],
  ['/subjects', 'Subjects', 's'],
  ['/plans', 'Plans', 'p'],
  ['/health', 'Health', 'h'],
  ['/live', 'Live', 'l'],
] as const;

export function App() {
  const session = useQuery({ queryKey: ['session'], queryFn: () => get<Session>('session') });
  const [location] = useLocation();
  const main = useRef<HTMLElement>(null);
  useKeys();
  useEffect(() => {
    main.current?.scrollTo(0, 0);
    const [, name] = PLACES.find(([path]) => path === location) ?? [];
    document.title = `${name ?? 'Subject'} · pgquota studio`;
  }, [location]);

  if (session.isPending) return <Waiting lines={8} />;
  if (session.isError) {
    return (
      <main className="alone">
        <h1>pgquota studio</h1>
        <Refusal error={session.error} />
      </main>
    );
  }
  const { place, user, readOnly, server } = session.data;
  return (
    <SessionContext value={session.data}>
      <a href="#main" className="skip">
        Skip to the page
      </a>
      <header className="bar">
        <Link href="/" className="brand">
          <img src="/icon.svg" alt="" width="20" height="20" /> pgquota
        </Link>
        <nav aria-label="Pages">
          {PLACES.map(([path, name, key]) => (
            <Link
              key={path}
              href={path}
              title={`g ${key}`}
              aria-current={
                location === path || (path === '/subjects' && location === '/subject')
                  ? 'page'
                  : undefined
              }
            >
              {name}
            </Link>
          ))}
        </nav>
        <Search />
        <ThemeChoice />
      </header>
      <main id="main" ref={main} tabIndex={-1}>
        <Suspense fallback={<Waiting lines={8} />}>
          <Switch>
            <Route path="/" component={Overview} />
            <Route path="/subjects" component={Subjects} />
            <Route path="/subject" component={Subject} />
            <Route path="/plans" component={Plans} />
            <Route path="/health" component={Health} />
            <Route path="/live" component={Live} />
            <Route>
              <h1>There is no such page</h1>
            </Route>
          </Switch>
        </Suspense>
      </main>
      <footer className="foot">
        <span>
          <b>{place}</b> as <b>{user}</b>
        </span>
        <span>Postgres {server.split(' ')[0]}</span>
        {readOnly && <span className="tag">read only: {readOnly}</span>}
        <span className="keys">
          <kbd>/</kbd> search <kbd>g</kbd> <kbd>o</kbd> <kbd>s</kbd> <kbd>p</kbd> <kbd>h</kbd>{' '}
          <kbd>l</kbd> pages
        </span>
      </footer>
    </SessionContext>
  );
}

/** By how an id begins; Enter opens what is typed, whether or not it was ever seen. */
function Search() {
  const [, go] = useLocation();
  const [typed, setTyped] = useState('');
  const found = useQuery({
    queryKey: ['search', typed],
    queryFn: () => get<Page<SubjectRow>>('subjects', { prefix: typed }),
    enabled: typed.length > 0,
    placeholderData: (former) => former,
  });
  return (
    <search>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          const id = typed.trim();
          if (!id) return;
          setTyped('');
          (document.activeElement as HTMLElement | null)?.blur();
          go(subjectPath(id));
        }}
      >
        <input
          id="search"
          type="search"
          list="found"
          autoComplete="off"
          spellCheck={false}
          aria-label="Subject"
          placeholder="Subject id…"
          value={typed}
          onChange={(event) => setTyped(event.target.value)}
        />
        <datalist id="found">
          {typed &&
            found.data?.rows.slice(0, 8).map(({ subject, plan }) => (
              <option key={subject} value={subject}>
                {plan ?? ''}
              </option>
            ))}
        </datalist>
      </form>
    </search>
  );
}

const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' };
const SIGNS: Record<Theme, string> = { system: '◐', light: '☀', dark: '☾' };

function ThemeChoice() {
  const theme = useTheme();
  return (
    <button
      type="button"
      className="quiet-button"
      aria-label={`Colours: ${theme}. Change to ${NEXT[theme]}`}
      title={`Colours: ${theme}`}
      onClick={() => applyTheme(NEXT[theme])}
    >
      {SIGNS[theme]}
    </button>
  );
}

/** `/` searches, `g` and a letter goes. Not while somebody types. */
function useKeys() {
  const [, go] = useLocation();
  useEffect(() => {
    let isGoing = false;
    const pressed = (event: KeyboardEvent) => {
      const { target, key } = event;
      const isTyping =
        target instanceof HTMLElement &&
        (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
      if (isTyping || event.metaKey || event.ctrlKey || event.altKey) return;
      if (document.querySelector('dialog[open]')) return;
      if (key === '/') {
        event.preventDefault();
        document.getElementById('search')?.focus();
        return;
      }
      const place = isGoing ? PLACES.find(([, , letter]) => letter === key) : undefined;
      if (place) go(place[0]);
      isGoing = key === 'g';
    };
    addEventListener('keydown', pressed);
    return () => removeEventListener('keydown', pressed);
  }, [go]);
}
