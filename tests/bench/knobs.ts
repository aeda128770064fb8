/** The knobs of `npm run bench`. */
export interface Knobs {
  /** Of each contender, in turn with the others; one more before them is to warm up. */
  rounds: number;
  /** How long a contender runs in a round … */
  seconds: number;
  /** … or, for a smoke run, how many calls each session makes instead. */
  calls?: number;
  clients: number;
  subjects: number;
  /** Sessions that use one and the same subject. */
  hot: number[];
  /** The sizes that are compared: subjects, and ledger lines. */
  small: Size;
  grown: Size;
  /** Callers in one Node process, and connections that they share. */
  callers: number;
  pool: number;
  /** Callers that share round trips. */
  sharing: number[];
  /** Lines to fold beside calls, in each round. */
  oldLines: number;
  /** Rows of the table that limit_table() counts, and of the large insert. */
  rows: number;
}

export interface Size {
  subjects: number;
  lines: number;
}

const USUAL: Knobs = {
  rounds: 5,
  seconds: 3,
  clients: 8,
  subjects: 10_000,
  hot: [8, 32, 64],
  small: { subjects: 1_000, lines: 0 },
  grown: { subjects: 100_000, lines: 1_000_000 },
  callers: 32,
  pool: 16,
  sharing: [32, 100],
  oldLines: 50_000,
  rows: 10_000,
};

/** Whether everything runs, in seconds; its figures mean nothing. */
const QUICK: Knobs = {
  ...USUAL,
  rounds: 1,
  calls: 3,
  clients: 2,
  subjects: 20,
  hot: [8],
  sharing: [8],
  small: { subjects: 10, lines: 0 },
  grown: { subjects: 40, lines: 100 },
  oldLines: 100,
  rows: 100,
};

export function knobsFor({ quick, large }: { quick?: boolean; large?: boolean }): Knobs {
  if (quick) return QUICK;
  return large ? { ...USUAL, grown: { subjects: 1_000_000, lines: 10_000_000 } } : USUAL;
}
