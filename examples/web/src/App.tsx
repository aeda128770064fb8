import { UsageProvider } from 'pgquota/react';
import { useEffect, useState } from 'react';
import { type Session, signIn } from './api.ts';
import { Billing } from './Billing.tsx';
import { Dashboard } from './Dashboard.tsx';

/** The sign-in and the switch between users; all else belongs to one of them. */
export function App() {
  const [user, setUser] = useState(() => localStorage.getItem('user') ?? 'demo-free');
  const [session, setSession] = useState<Session | null>(null);
  const [failure, setFailure] = useState<string | null>(null);

  useEffect(() => {
    let wanted = true;
    localStorage.setItem('user', user);
    setFailure(null);
    signIn(user).then(
      (signedIn) => wanted && setSession(signedIn),
      (error) => wanted && setFailure(error.message),
    );
    return () => {
      wanted = false;
    };
  }, [user]);

  const isOwn = user.startsWith('you-');
  const isBilling = location.pathname === '/settings/billing';
  const Page = isBilling ? Billing : Dashboard;
  return (
    <>
      <header className="top">
        <a className="brand" href="/">
          <img src="/icon.svg" alt="" width="28" height="28" />
          <span>
            Draftwell <small>pgquota’s example</small>
          </span>
        </a>
        <fieldset className="users">
          <legend className="hidden">Signed in as</legend>
          <div className="choice">
            {[
              ['demo-free', 'Free user'],
              ['demo-pro', 'Pro user'],
              ['demo-ada', 'Ada'],
              ['demo-bob', 'Bob'],
              ...(isOwn ? [[user, user]] : []),
            ].map(([id = '', name]) => (
              <label key={id}>
                <input
                  type="radio"
                  name="user"
                  value={id}
                  checked={id === user}
                  onChange={() => setUser(id)}
                />
                <span>{name}</span>
              </label>
            ))}
          </div>
          <button type="button" onClick={() => setUser(newUser())}>
            New user
          </button>
        </fieldset>
      </header>
      <main>
        {failure !== null && (
          <p className="card problem" role="alert">
            {failure}
          </p>
        )}
        {session?.user === user && (
          <UsageProvider client={session.supabase} user={user}>
            <Page key={user} session={session} />
          </UsageProvider>
        )}
      </main>
    </>
  );
}

const newUser = () => `you-${crypto.randomUUID().slice(0, 8)}`;
