/** What went wrong, for the page: the database's own words where it was the database. */
import pg from 'pg';
import { Problem } from '../../cli/problem.ts';
import type { Refusal } from './shapes.ts';

/** A request that makes no sense. */
export class Bad extends Error {}

export function refusalOf(error: unknown): { status: number; refusal: Refusal } {
  if (error instanceof pg.DatabaseError) {
    const { message, detail, hint, code } = error;
    return { status: 422, refusal: { message, detail, hint, code } };
  }
  if (error instanceof Bad) return { status: 400, refusal: { message: error.message } };
  if (error instanceof Problem) {
    return { status: 400, refusal: { message: error.message, hint: error.advice } };
  }
  const { message, code } = error as Error & { code?: string };
  return {
    status: 503,
    refusal: { message: `no answer of the database: ${message || code}`, code },
  };
}
