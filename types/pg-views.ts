/** The views over SQL: the part of supabase-js' queries that reading usage needs, by the same names. */
import type { UsageViews } from './client.ts';
import { UsageError } from './errors.ts';
import { quoted, type Statement } from './pg-statements.ts';
import { VIEWS } from './statements.ts';

type Views<Feature extends string> = UsageViews<Feature>['public']['Views'];
type Value = string | number | boolean;

export type UsageFrom<Feature extends string = string> = <View extends keyof Views<Feature>>(
  view: View,
) => {
  /** 'feature, used', as one text; without it, all columns. */
  select<Columns extends string = '*'>(
    columns?: Columns,
  ): UsageRows<Views<Feature>[View]['Row'], Selected<Views<Feature>[View]['Row'], Columns>>;
};

type Selected<Row, Columns extends string> = Columns extends '*'
  ? Row
  : { [Name in Names<Columns> & keyof Row]: Row[Name] };
type Names<Columns extends string> = Columns extends `${infer First},${infer Rest}`
  ? Names<First> | Names<Rest>
  : Columns extends ` ${infer Rest}` | `${infer Rest} `
    ? Names<Rest>
    : Columns;

export type UsageRowsAnswer<Result> =
  | { data: Result[]; error: null }
  | { data: null; error: UsageError };

/** A query that is sent when it is awaited. Each step gives a query of its own. */
export interface UsageRows<Row, Result, Answer = UsageRowsAnswer<Result>>
  extends PromiseLike<Answer> {
  eq<Name extends keyof Row & string>(name: Name, value: Value): this;
  neq<Name extends keyof Row & string>(name: Name, value: Value): this;
  gt<Name extends keyof Row & string>(name: Name, value: Value): this;
  gte<Name extends keyof Row & string>(name: Name, value: Value): this;
  lt<Name extends keyof Row & string>(name: Name, value: Value): this;
  lte<Name extends keyof Row & string>(name: Name, value: Value): this;
  in<Name extends keyof Row & string>(name: Name, values: readonly Value[]): this;
  is<Name extends keyof Row & string>(name: Name, value: null | boolean): this;
  order<Name extends keyof Row & string>(name: Name, options?: { ascending?: boolean }): this;
  limit(count: number): this;
  /** What goes wrong is thrown, not answered. */
  throwOnError(): UsageRows<Row, Result, { data: Result[]; error: null }>;
  abortSignal(signal: AbortSignal): this;
}

/** Reads the rows, or throws. */
export type ReadRows = (
  view: string,
  statement: Statement,
  signal: AbortSignal | null | undefined,
) => Promise<unknown[]>;

interface Query {
  columns: string[];
  filters: { name: string; operator: string; values: Value[] }[];
  order: { name: string; ascending: boolean }[];
  limit: number | null;
  throws: boolean;
  signal?: AbortSignal;
}

export function createFrom<Feature extends string>(read: ReadRows): UsageFrom<Feature> {
  const from = (view: string) => ({
    select: (columns = '*') =>
      rowsOf(read, view, {
        columns: columns.trim() === '*' ? [] : columns.split(',').map((name) => name.trim()),
        filters: [],
        order: [],
        limit: null,
        throws: false,
      }),
  });
  return from as UsageFrom<Feature>;
}

const COMPARED = { eq: '=', neq: '<>', gt: '>', gte: '>=', lt: '<', lte: '<=' };

function rowsOf(read: ReadRows, view: string, query: Query): object {
  const and = (more: Partial<Query>) => rowsOf(read, view, { ...query, ...more });
  const filter = (name: string, operator: string, values: Value[] = []) =>
    and({ filters: [...query.filters, { name, operator, values }] });
  const compared = Object.entries(COMPARED).map(([verb, operator]) => [
    verb,
    (name: string, value: Value) => filter(name, operator, [value]),
  ]);
  const answer = async () => {
    try {
      return { data: await read(view, statementOf(view, query), query.signal), error: null };
    } catch (error) {
      if (query.throws || !(error instanceof UsageError)) throw error;
      return { data: null, error };
    }
  };
  return {
    ...Object.fromEntries(compared),
    in: (name: string, values: Value[]) => filter(name, 'in', values),
    is: (name: string, value: null | boolean) => filter(name, `is ${value}`),
    order: (name: string, { ascending = true } = {}) =>
      and({ order: [...query.order, { name, ascending }] }),
    limit: (count: number) => and({ limit: count }),
    throwOnError: () => and({ throws: true }),
    abortSignal: (signal: AbortSignal) => and({ signal }),
    // biome-ignore lint/suspicious/noThenProperty: it is sent when it is awaited
    then: (done: Parameters<Promise<unknown>['then']>[0], failed: never) =>
      answer().then(done, failed),
  };
}

function statementOf(view: string, { columns, filters, order, limit }: Query): Statement {
  const values: string[] = [];
  const placeholder = (value: Value, type: string) =>
    `$${values.push(String(value))}::text::${type}`;
  const conditions = filters.map(({ name, operator, values: wanted }) => {
    const type = typeOf(view, name);
    if (operator === 'in') {
      const list = wanted.map((value) => placeholder(value, type));
      return list.length > 0 ? `${quoted(name)} in (${list.join(', ')})` : 'false';
    }
    return [quoted(name), operator, ...wanted.map((value) => placeholder(value, type))].join(' ');
  });
  const list = columns.map((name) => column(view, name));
  const keys = order.map((key) => `${column(view, key.name)} ${key.ascending ? 'asc' : 'desc'}`);
  const rows = [
    `select ${list.length > 0 ? list.join(', ') : '*'} from public.${view}`,
    conditions.length > 0 ? ` where ${conditions.join(' and ')}` : '',
    keys.length > 0 ? ` order by ${keys.join(', ')}` : '',
    limit === null ? '' : ` limit ${placeholder(limit, 'bigint')}`,
  ].join('');
  const text = `select coalesce(pg_catalog.json_agg(answer), '[]')::text as answer,
  pg_catalog.current_setting('role') as role
from (${rows}) as answer`;
  return { text, values };
}

function column(view: string, name: string): string {
  typeOf(view, name);
  return quoted(name);
}

function typeOf(view: string, name: string): string {
  const columns = Object.hasOwn(VIEWS, view) ? VIEWS[view] : undefined;
  if (columns && Object.hasOwn(columns, name)) return columns[name] as string;
  const isView = columns !== undefined;
  const known = Object.keys(columns ?? VIEWS).join(', ');
  throw new UsageError({
    message: isView ? `${view} has no column ${name}` : `${view} is not a view of pgquota`,
    code: isView ? '42703' : '42P01',
    hint: `there are: ${known}`,
    status: isView ? 400 : 404,
  });
}
