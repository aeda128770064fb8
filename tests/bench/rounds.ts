/** Alternating rounds: a shared machine moves by a factor of three, so what is compared runs in turn. */
import type { CpuClock } from './cpu.ts';
import type { Knobs } from './knobs.ts';

/** What one run of a contender gave: how long each call took, in ms. */
export interface Run {
  seconds: number;
  latencies: ArrayLike<number>;
}

export interface Measured {
  name: string;
  perSecond: number;
  /** To the first contender, round by round; the median of that. */
  ratio: number;
  /** Microseconds of the server's processors for a call; null where the system does not tell. */
  cpu: number | null;
  /** Milliseconds. */
  p50: number;
  p99: number;
}

export interface Contender {
  name: string;
  run(): Promise<Run>;
}

export const median = (values: number[]): number => quantile(values, 0.5);

export function quantile(values: ArrayLike<number>, share: number): number {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export const shown = (figure: number) => figure.toFixed(figure < 10 ? 2 : 0);

export async function alternate(
  contenders: Contender[],
  { rounds, calls }: Knobs,
  cpu: CpuClock,
): Promise<Measured[]> {
  const figures = contenders.map(() => [] as Omit<Measured, 'name' | 'ratio'>[]);
  for (let round = calls ? 1 : 0; round <= rounds; round++) {
    for (const [at, contender] of contenders.entries()) {
      const before = cpu();
      const { seconds, latencies } = await contender.run();
      const after = cpu();
      if (!latencies.length) throw new Error(`${contender.name}: not one call came back`);
      const figure = {
        perSecond: latencies.length / seconds,
        cpu: before === null || after === null ? null : ((after - before) * 1e6) / latencies.length,
        p50: quantile(latencies, 0.5),
        p99: quantile(latencies, 0.99),
      };
      if (round > 0) figures[at]?.push(figure);
      console.log(
        `  ${round === 0 ? 'warming up' : `round ${round} of ${rounds}`}  ${contender.name}  ${shown(figure.perSecond)}/s`,
      );
    }
  }
  const first = figures[0] ?? [];
  return contenders.map(({ name }, at) => {
    const own = figures[at] ?? [];
    return {
      name,
      perSecond: median(own.map((one) => one.perSecond)),
      ratio: median(own.map((one, round) => one.perSecond / (first[round]?.perSecond ?? 1))),
      cpu: own.some((one) => one.cpu === null) ? null : median(own.map((one) => one.cpu ?? 0)),
      p50: median(own.map((one) => one.p50)),
      p99: median(own.map((one) => one.p99)),
    };
  });
}
