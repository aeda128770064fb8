/** What a look at a database finds: what is wrong, and what to do about it. */
export interface Finding {
  /** A note is worth knowing and may be meant so; it does not fail a run. */
  level: 'wrong' | 'note';
  what: string;
  /** In words, where a person has to choose. */
  todo?: string;
  /** Statements that put it right as they stand. */
  sql?: string;
}

export const wrong = (what: string, todo?: string): Finding => ({ level: 'wrong', what, todo });
export const note = (what: string, todo?: string): Finding => ({ level: 'note', what, todo });
/** Wrong, and these statements put it right. */
export const curable = (what: string, sql: string): Finding => ({ level: 'wrong', what, sql });
