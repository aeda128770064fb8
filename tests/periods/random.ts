/** A seeded source of randomness: a failing run is repeated with PGQUOTA_SEED. */
export interface Random {
  /** A whole number from least to most, both included. */
  between(least: number, most: number): number;
  pick<T>(values: readonly T[]): T;
}

export function seedOfThisRun(): number {
  return Number(process.env.PGQUOTA_SEED ?? Math.floor(Math.random() * 2 ** 32));
}

/** mulberry32 */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (least: number, most: number) => least + Math.floor(next() * (most - least + 1));
  return { between, pick: (values) => values[between(0, values.length - 1)] as never };
}
