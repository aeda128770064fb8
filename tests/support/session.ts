/**
 * Sessions as PostgREST makes them: a role and its JWT claims, both local to the transaction.
 * With a function: begin, become, run, commit (rollback if it throws). Without: the caller has a
 * transaction open, and the rest of it runs as that role.
 */
import type pg from 'pg';

type Work<T> = (client: pg.ClientBase) => Promise<T>;

export function asUser<T = void>(client: pg.ClientBase, sub: string, work?: Work<T>): Promise<T> {
  return as(client, 'authenticated', { sub }, work);
}

export function asService<T = void>(client: pg.ClientBase, work?: Work<T>): Promise<T> {
  return as(client, 'service_role', {}, work);
}

export function asAnon<T = void>(client: pg.ClientBase, work?: Work<T>): Promise<T> {
  return as(client, 'anon', {}, work);
}

async function as<T>(
  client: pg.ClientBase,
  role: string,
  claims: Record<string, unknown>,
  work?: Work<T>,
): Promise<T> {
  const become = () =>
    client.query(
      `select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)`,
      [role, JSON.stringify({ ...claims, role })],
    );
  if (!work) {
    await become();
    return undefined as T;
  }
  await client.query('begin');
  try {
    await become();
    const result = await work(client);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback');
    throw error;
  }
}
