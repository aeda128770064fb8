/**
 * Makes a broken variant of the engine in a throwaway database: a real function with one piece of its
 * text changed, so that the rest of it stays what is shipped. Fails when the piece is no longer there:
 * a variant that changes nothing would prove nothing.
 */
import type pg from 'pg';

export type Sabotage = (owner: pg.Client) => Promise<void>;

export async function rewrite(
  owner: pg.ClientBase,
  name: string,
  ...changes: [piece: string | RegExp, instead: string][]
): Promise<void> {
  const { rows } = await owner.query<{ text: string }>(
    `select pg_get_functiondef(p.oid) as text
     from pg_proc as p
     where p.pronamespace::regnamespace || '.' || p.proname = $1`,
    [name],
  );
  if (rows.length !== 1) throw new Error(`${rows.length} functions are named ${name}`);
  let text = rows[0]?.text as string;
  for (const [piece, instead] of changes) {
    const changed = text.replace(piece, () => instead);
    if (changed === text) {
      throw new Error(`${name} has no ${piece} any more: bring the zoo up to date with it`);
    }
    text = changed;
  }
  await owner.query(text);
}
