/**
 * What the SQL says about the types of the client:
 *
 * - A field is nullable where its comment contains the word null ("null when unlimited"). Every field
 *   needs a comment, so that this is a decision and not an omission.
 * - A parameter may be left out where it has a default, and may be null where that default is null,
 *   or where a clause of the function's comment that begins with its name speaks of null ("limit is
 *   in units of the feature, null is unlimited"), or where it is an object that may be empty.
 * - A text field whose comment starts with a word in backquotes has only the values in backquotes.
 * - A text called feature is the project's own union of features. A parameter called period, and a
 *   field that has all of the periods, is a Period. A list that goes on with a window may be one, too.
 * - jsonb with the default '{}' is an object, other jsonb is any JSON.
 * - In a function's comment, what follows "Errors:" is a list of codes, separated by semicolons.
 *
 * Anything else is an error here, not a guess in the client.
 */
import type { Field, Parameter, Routine, Shape } from './catalogue.ts';

type Typed = { name: string; type: string };

export const SCALARS: Record<string, string> = {
  bigint: 'number', // the contract keeps every amount below 2^53
  integer: 'number',
  boolean: 'boolean',
  text: 'string',
  uuid: 'string',
  interval: 'string',
  'timestamp with time zone': 'string',
  jsonb: 'Json',
  'text[]': 'string[]',
  'uuid[]': 'string[]',
};

export const PERIODS = ['minute', 'hour', 'day', 'week', 'month', 'year', 'lifetime'];

export function isNullable({ comment }: Field): boolean {
  return /\bnull\b/i.test(comment ?? '');
}

/** The values that a text can have, where its comment says so. */
export function valuesOf({ type, comment }: Field): string[] | undefined {
  if (type !== 'text' || !comment?.startsWith('`')) return undefined;
  return [...comment.matchAll(/`([^`]*)`/g)].map(([, value]) => value as string);
}

export function unionOf(values: string[], { comment }: Field): string {
  if (values.join() === PERIODS.join()) return 'Period';
  const union = values.map((v) => `'${v}'`).join(' | ');
  return /\bor a window\b/.test(comment ?? '') ? `${union} | UsageWindow` : union;
}

/** Undefined without a default, 'NULL' for a default of null. */
export function defaultOf({ default: value }: Parameter): string | undefined {
  // '00:15:00'::interval says no more than '00:15:00'
  return value?.replace(/::[a-z ]+$/, '');
}

export function mayBeNull(parameter: Parameter, { comment }: Routine): boolean {
  const clause = new RegExp(`(^|[.;] )${parameter.name} [^.;]*\\bnull\\b`, 'i');
  return defaultOf(parameter) === 'NULL' || isBag(parameter) || clause.test(comment ?? '');
}

/** An object that one puts what one likes into: null is the empty one. */
const isBag = (parameter: Parameter) =>
  parameter.type === 'jsonb' && defaultOf(parameter) === "'{}'";

export function parameterType(parameter: Parameter, where: string): string {
  if (isBag(parameter)) return 'JsonObject';
  if (parameter.name === 'period' && parameter.type === 'text') return 'Period';
  return typeOf(parameter, where);
}

export function typeOf(field: Typed, where: string): string {
  if (isFeature(field)) return 'Feature';
  const known = Object.keys(SCALARS).join(', ');
  return SCALARS[field.type] ?? fail(where, `is of type ${field.type}; known are ${known}`);
}

const isFeature = ({ name, type }: Typed) => name === 'feature' && type === 'text';

/** The type argument of what has a feature among its fields. */
export const generic = (fields: Typed[]) => (fields.some(isFeature) ? '<Feature>' : '');
export const declaration = (fields: Typed[]) =>
  fields.some(isFeature) ? '<Feature extends string = string>' : '';

export const camelCase = (name: string) =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const pascalCase = (name: string) => camelCase(`_${name}`);

/** A row of usage_events is a UsageEvent. */
export const typeName = ({ name, kind }: Shape) =>
  pascalCase(kind === 'view' ? name.replace(/([^s])s$/, '$1') : name);
export const methodName = ({ name }: Routine) => camelCase(name);
export const argumentsName = ({ name }: Routine) => `${pascalCase(name)}Args`;
export const key = (name: string) =>
  /^[a-z_][a-z0-9_]*$/.test(name) ? name : JSON.stringify(name);

export function fail(where: string, why: string): never {
  throw new Error(`types/client.ts cannot be generated: ${where} ${why}.`);
}
