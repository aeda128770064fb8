import { useEffect, useState } from 'react';
import { type Session, signIn } from './api.ts';
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
  return (
    <>
      <header className="top">
        <div className="brand">
          <img src="/icon.svg" alt="" width="28" height="28" />
          <span>
            Draftwell <small>pgquota’s example</small>
          </span>
        </div>
        <fieldset className="users">
          <legend className="hidden">Signed in as</legend>
          {[
            ['demo-free', 'Free user'],
            ['demo-pro', 'Pro user'],
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
          <button type="button" className="quiet" onClick={() => setUser(newUser())}>
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
        {session?.user === user && <Dashboard key={user} session={session} />}
      </main>
    </>
  );
}

const newUser = () => `you-${crypto.randomUUID().slice(0, 8)}`;
