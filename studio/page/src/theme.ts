/** Light or dark, as the system is or as somebody chose here. Charts are told: a canvas knows no variables. */
import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';

const KEPT = 'pgquota-studio-theme';
const listeners = new Set<() => void>();
const system = matchMedia('(prefers-color-scheme: dark)');
let version = 0;

const changed = () => {
  version++;
  for (const listener of listeners) listener();
};
system.addEventListener('change', changed);

const read = (): Theme => (localStorage.getItem(KEPT) as Theme | null) ?? 'system';

export function applyTheme(theme = read()): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  localStorage.setItem(KEPT, theme);
  changed();
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export const useTheme = () => useSyncExternalStore(subscribe, read);
/** Another number after each change. */
export const useThemeVersion = () => useSyncExternalStore(subscribe, () => version);
