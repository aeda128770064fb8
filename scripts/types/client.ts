/**
 * Writes types/client.ts: a method per function of schema public, a type per composite and view,
 * documented by the SQL comments. What it goes by:
 *
 * - A field is nullable where its comment contains the word null ("null when unlimited"). Every field
 *   needs a comment, so that this is a decision and not an omission.
 * - A parameter may be left out where it has a default, and may be null where that default is null,
 *   or where the function's comment says "<parameter> null".
 * - A text field whose comment starts with a word in backquotes has only the values in backquotes.
 * - A text called feature is the project's own union of features.
 * - jsonb with the default '{}' is an object, other jsonb is any JSON.
 * - In a function's comment, what follows "Errors:" is a list of codes, separated by semicolons.
 *
 * Anything else is an error here, not a guess in the client.
 */
import type { Catalogue, Field, Parameter, Routine, Shape } from './catalogue.ts';
import { docBlock, splitErrors, startsWithCode } from './docs.ts';

const SCALARS: Record<string, string> = {
  bigint: 'number', // the contract keeps every amount below 2^53
  integer: 'number',
  boolean: 'boolean',
  text: 'string',
  uuid: 'string',
  interval: 'string',
  'timestamp with time zone': 'string',
  jsonb: 'Json',
  'text[]': 'string[]',
};

const CALLERS: Record<string, string> = {
  'anon,authenticated,service_role': 'Everybody may call it.',
  'authenticated,service_role': 'May be called by a signed-in user and by the server.',
  service_role: 'Server only: needs the service key.',
};

export function renderClient(catalogue: Catalogue): string {
  const names = new Map<string, string>();
  const claim = (sqlName: string, tsName: string) => {
    const other = names.get(tsName);
    if (other) fail(sqlName, `becomes ${tsName}, and so does ${other}; rename one of them`);
    names.set(tsName, sqlName);
  };
  for (const shape of catalogue.shapes) claim(shape.name, typeName(shape));
  for (const routine of catalogue.routines) claim(`${routine.name}()`, methodName(routine));

  const composites = new Map(
    catalogue.shapes
      .filter(({ kind }) => kind === 'composite')
      .map((shape) => [shape.name, `${typeName(shape)}${generic(shape.fields)}`]),
  );
  const views = catalogue.shapes.filter(({ kind }) => kind === 'view');
  return [
    '// Generated from the SQL in sql/ by npm run build. Do not edit.',
    HEAD,
    ...catalogue.shapes.map(renderShape),
    ...catalogue.routines.filter((routine) => routine.parameters.length).map(renderArguments),
    docBlock(['A method per SQL function. A refusal of the limit is an answer, not an error.']),
    'export interface UsageMethods<Feature extends string = string> {',
    ...catalogue.routines.map((routine) => renderSignature(routine, composites)),
    '}\n',
    docBlock(['The views, as the type parameter of a SupabaseClient.']),
    'export type UsageViews<Feature extends string = string> = {',
    '  public: {',
    '    Tables: Record<never, never>;',
    '    Views: {',
    ...views.map(
      (view) =>
        `      ${view.name}: { Row: ${typeName(view)}${generic(view.fields)}; Relationships: [] };`,
    ),
    '    };',
    '    Functions: Record<never, never>;',
    '  };',
    '};\n',
    docBlock(['Binds the methods to what makes the calls.']),
    'export function createMethods<Feature extends string>(ask: Ask, tell: Tell): UsageMethods<Feature> {',
    '  return {',
    ...catalogue.routines.map(({ name, parameters, returns }) => {
      const verb = returns === 'void' ? 'tell' : 'ask';
      return parameters.length
        ? `    ${camelCase(name)}: (args, options) => ${verb}('${name}', args, options),`
        : `    ${camelCase(name)}: (options) => ${verb}('${name}', undefined, options),`;
    }),
    '  };',
    '}',
    '',
  ].join('\n');
}

const HEAD = `
export type Json = string | number | boolean | null | JsonObject | Json[];
export type JsonObject = { [key: string]: Json | undefined };

export interface CallOptions {
  /** Ends the wait for an answer. What the call counted stays counted. */
  signal?: AbortSignal;
}

/** Makes the call and gives its answer, never null; or throws. */
export type Ask = <Answer>(
  name: string,
  args: object | undefined,
  options: CallOptions | undefined,
) => Promise<Answer>;

/** Makes a call that has no answer; or throws. */
export type Tell = (
  name: string,
  args: object | undefined,
  options: CallOptions | undefined,
) => Promise<void>;
`;

function renderShape(shape: Shape): string {
  const what = shape.kind === 'view' ? `view ${shape.name}` : `type ${shape.name}`;
  const comment = shape.comment ?? fail(what, 'has no comment; add "comment on"');
  return [
    docBlock([comment]),
    `export type ${typeName(shape)}${declaration(shape.fields)} = {`,
    ...shape.fields.map((field) => renderField(field, `${what}, ${field.name}`)),
    '};\n',
  ].join('\n');
}

function renderField(field: Field, where: string): string {
  const comment =
    field.comment ??
    fail(where, 'has no comment; say what it is, and "null when …" where it can be null');
  const values = valuesOf(field);
  const type = values ? values.map((value) => `'${value}'`).join(' | ') : fieldType(field, where);
  const nullable = isNullable(field) ? ' | null' : '';
  return `${docBlock([comment])}\n${key(field.name)}: ${type}${nullable};`;
}

export function isNullable({ comment }: Field): boolean {
  return /\bnull\b/i.test(comment ?? '');
}

/** The values that a text can have, where its comment says so. */
export function valuesOf({ type, comment }: Field): string[] | undefined {
  if (type !== 'text' || !comment?.startsWith('`')) return undefined;
  return [...comment.matchAll(/`([^`]*)`/g)].map(([, value]) => value as string);
}

function renderArguments(routine: Routine): string {
  return [
    docBlock([`The arguments of ${camelCase(routine.name)}.`]),
    `export type ${argumentsName(routine)}${declaration(routine.parameters)} = {`,
    ...routine.parameters.map((parameter) => renderParameter(parameter, routine)),
    '};\n',
  ].join('\n');
}

function renderParameter(parameter: Parameter, routine: Routine): string {
  const where = `${routine.name}(), parameter ${parameter.name || '(without a name)'}`;
  if (!parameter.name) fail(where, 'name it: names are the JSON keys of rpc()');
  if (parameter.mode !== 'in') {
    fail(where, `is ${parameter.mode}; return a named composite type instead`);
  }
  const value = defaultOf(parameter);
  const saysNull = new RegExp(`\\b${parameter.name} \\(?null\\b`, 'i').test(routine.comment ?? '');
  const nullable = value === 'NULL' || saysNull ? ' | null' : '';
  const type =
    parameter.type === 'jsonb' && value === "'{}'" ? 'JsonObject' : fieldType(parameter, where);
  const doc = value && value !== 'NULL' ? `${docBlock([`Default: ${value}.`])}\n` : '';
  return `${doc}${key(parameter.name)}${value ? '?' : ''}: ${type}${nullable};`;
}

/** `'00:15:00'::interval` says no more than `'00:15:00'`. */
function defaultOf({ default: value }: Parameter): string | undefined {
  return value?.replace(/::[a-z ]+$/, '');
}

function renderSignature(routine: Routine, composites: Map<string, string>): string {
  const where = `${routine.name}()`;
  if (routine.kind !== 'function') fail(where, `is a ${routine.kind}; make it a function`);
  const comment = routine.comment ?? fail(where, 'has no comment; add "comment on"');
  const callers =
    CALLERS[routine.callers.join()] ??
    fail(
      where,
      `may be executed by ${routine.callers.join(', ') || 'no role of the API'}; ` +
        'grant it to service_role, and to authenticated if users call it',
    );
  const { text, errors } = splitErrors(comment);
  const stray = errors.find((error) => !startsWithCode(error));
  if (stray) fail(where, `lists "${stray}" under "Errors:", where each entry starts with its code`);
  const required = routine.parameters.some((parameter) => parameter.default === null);
  const args = routine.parameters.length
    ? `args${required ? '' : '?'}: ${argumentsName(routine)}${generic(routine.parameters)}, `
    : '';
  return [
    docBlock([text, callers], errors),
    `${camelCase(routine.name)}(${args}options?: CallOptions): Promise<${result(routine, composites)}>;`,
  ].join('\n');
}

function result(routine: Routine, composites: Map<string, string>): string {
  const where = `${routine.name}()`;
  if (routine.returns === 'void') return 'void';
  const type =
    composites.get(routine.returns.replace(/^public\./, '')) ??
    SCALARS[routine.returns] ??
    fail(where, `returns ${routine.returns}; return a scalar or a composite type of schema public`);
  return routine.returnsSet ? `${type}[]` : type;
}

function fieldType({ name, type }: { name: string; type: string }, where: string): string {
  if (isFeature({ name, type })) return 'Feature';
  return SCALARS[type] ?? fail(where, `is of type ${type}; known are ${knownTypes()}`);
}

const knownTypes = () => Object.keys(SCALARS).join(', ');
const isFeature = ({ name, type }: { name: string; type: string }) =>
  name === 'feature' && type === 'text';

const generic = (fields: { name: string; type: string }[]) =>
  fields.some(isFeature) ? '<Feature>' : '';
const declaration = (fields: { name: string; type: string }[]) =>
  fields.some(isFeature) ? '<Feature extends string = string>' : '';

const camelCase = (name: string) =>
  name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
const pascalCase = (name: string) => camelCase(`_${name}`);

/** A row of usage_events is a UsageEvent. */
const typeName = ({ name, kind }: Shape) =>
  pascalCase(kind === 'view' ? name.replace(/([^s])s$/, '$1') : name);
const methodName = ({ name }: Routine) => camelCase(name);
const argumentsName = ({ name }: Routine) => `${pascalCase(name)}Args`;
const key = (name: string) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : JSON.stringify(name));

function fail(where: string, why: string): never {
  throw new Error(`types/client.ts cannot be generated: ${where} ${why}.`);
}
