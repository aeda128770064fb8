/** What a look at a database finds: what is wrong, and what to do about it. */
export interface Finding {
  /** A note is worth knowing and may be meant so; it does not fail a run. */
  level: 'wrong' | 'note';
  what: string;
  todo?: string;
}

export const wrong = (what: string, todo?: string): Finding => ({ level: 'wrong', what, todo });
export const note = (what: string, todo?: string): Finding => ({ level: 'note', what, todo });
