/** Numbers and instants for people, in their own zone; the exact one is always in the title. */
const whole = new Intl.NumberFormat('en');
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

export const number = (value: number) => whole.format(value);
export const compact = (value: number) =>
  Math.abs(value) < 10_000 ? number(value) : short.format(value);
export const signed = (value: number) => (value > 0 ? `+${number(value)}` : number(value));
export const bytes = (value: number) => {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const n = value > 0 ? Math.min(4, Math.floor(Math.log(value) / Math.log(1024))) : 0;
  const amount = value / 1024 ** n;
  return `${amount < 10 && n > 0 ? amount.toFixed(1) : Math.round(amount)} ${units[n]}`;
};

const clock = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
});
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const dayOfYear = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric',
  month: 'short',
  year: 'numeric',
});

export function time(iso: string, now = new Date()): string {
  const at = new Date(iso);
  if (at.toDateString() === now.toDateString()) return clock.format(at);
  const date = at.getFullYear() === now.getFullYear() ? day.format(at) : dayOfYear.format(at);
  return `${date}, ${clock.format(at).slice(0, 5)}`;
}

export const date = (iso: string) => dayOfYear.format(new Date(iso));

export function fromNow(iso: string, now = Date.now()): string {
  const seconds = Math.round((new Date(iso).getTime() - now) / 1000);
  const text = duration(Math.abs(seconds));
  return seconds >= 0 ? `in ${text}` : `${text} ago`;
}

export function duration(seconds: number): string {
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 5_400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129_600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

/** Of a chart: hours in the reader's zone, days and months of UTC, by which they are cut. */
export function bucket(iso: string, unit: 'hour' | 'day' | 'month'): string {
  const at = new Date(iso);
  if (unit === 'hour') return clock.format(at).slice(0, 5);
  const options = { timeZone: 'UTC', month: 'short' } as const;
  return unit === 'day'
    ? new Intl.DateTimeFormat('en-GB', { ...options, day: 'numeric' }).format(at)
    : new Intl.DateTimeFormat('en-GB', { ...options, year: '2-digit' }).format(at);
}

/** What a form's local time is, as an instant; nothing for none. */
export const fromLocal = (value: string): string | null =>
  value ? new Date(value).toISOString() : null;

export function toLocal(iso: string): string {
  const at = new Date(iso);
  const local = new Date(at.getTime() - at.getTimezoneOffset() * 60_000);
  return local.toISOString().slice(0, 16);
}
