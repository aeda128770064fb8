/** Callers in this process that each wait for their answer before they ask again. */
import type { Knobs } from './knobs.ts';
import type { Run } from './rounds.ts';

export async function fromNode(
  { callers, seconds, calls }: Pick<Knobs, 'callers' | 'seconds' | 'calls'>,
  call: () => Promise<unknown>,
): Promise<Run> {
  const latencies: number[] = [];
  const start = performance.now();
  const end = calls ? Number.POSITIVE_INFINITY : start + seconds * 1000;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (let n = 0; n < (calls ?? Number.POSITIVE_INFINITY); n++) {
        const began = performance.now();
        if (began > end) break;
        await call();
        latencies.push(performance.now() - began);
      }
    }),
  );
  return { seconds: (performance.now() - start) / 1000, latencies };
}
