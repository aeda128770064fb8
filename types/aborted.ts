import { UsageError } from './errors.ts';

/** Ends the wait alone: what was sent runs to its end. */
export async function unlessAborted<Result>(
  signal: AbortSignal | null | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  if (!signal) return work();
  const aborted = () =>
    new UsageError({ message: `aborted: ${signal.reason}`, status: 0, cause: signal.reason });
  if (signal.aborted) throw aborted();
  let stop = () => {};
  const ended = new Promise<never>((_, reject) => {
    stop = () => reject(aborted());
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work(), ended]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
