import { createContext, useContext } from 'react';
import type { Session } from '../../server/shapes.ts';

export const SessionContext = createContext<Session | null>(null);

export function useSession(): Session {
  const session = useContext(SessionContext);
  if (!session) throw new Error('there is no session');
  return session;
}

/** What a feature is called, for people. */
export const useFeatureName = () => {
  const { features } = useSession();
  return (id: string) => features.find(({ feature }) => feature === id)?.name ?? id;
};
