/** Writes types/client.ts: a method per function, a type per composite and view. */
import type { Catalogue, Field, Parameter, Routine, Shape } from './catalogue.ts';
import { docBlock, splitErrors, startsWithCode } from './docs.ts';
import {
  argumentsName,
  camelCase,
  declaration,
  defaultOf,
  fail,
  generic,
  isNullable,
  key,
  mayBeNull,
  methodName,
  PERIODS,
  parameterType,
  SCALARS,
  typeName,
  typeOf,
  unionOf,
  valuesOf,
} from './rules.ts';

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

  const shapes = new Map(
    catalogue.shapes.map((shape) => [shape.name, `${typeName(shape)}${generic(shape.fields)}`]),
  );
  /** What answers yes or no; anything else in its place is no answer. */
  const decisions = catalogue.shapes
    .filter(({ fields }) => fields.some(({ name }) => name === 'allowed'))
    .map(({ name }) => name);
  const views = catalogue.shapes.filter(({ kind }) => kind === 'view');
  return [
    '// Generated from the SQL in sql/ by npm run build. Do not edit.',
    HEAD,
    ...catalogue.shapes.map(renderShape),
    ...catalogue.routines.filter((routine) => routine.parameters.length).map(renderArguments),
    docBlock(['A method per SQL function. A refusal of the limit is an answer, not an error.']),
    'export interface UsageMethods<Feature extends string = string> {',
    ...catalogue.routines.map((routine) => renderSignature(routine, shapes)),
    '}\n',
    docBlock(['The views, as the type parameter of a SupabaseClient or PostgrestClient.']),
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
    '  const decide: Ask = async (name, args, options) => decided(name, await ask(name, args, options));',
    '  return {',
    ...catalogue.routines.map(({ name, parameters, returns }) => {
      const answers = decisions.includes(returns.replace(/^public\./, '')) ? 'decide' : 'ask';
      const verb = returns === 'void' ? 'tell' : answers;
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
import { decided } from './decided.ts';

export type Json = string | number | boolean | null | JsonObject | Json[];
export type JsonObject = { [key: string]: Json | undefined };

/** How often a limit starts again; \`lifetime\` never does. */
export type Period = ${PERIODS.map((period) => `'${period}'`).join(' | ')} | UsageWindow;

/** From the first use: \`5 hours\`, \`1 day\`. */
export type UsageWindow = \`1 \${WindowUnit}\` | \`\${number} \${WindowUnit}s\`;
type WindowUnit = 'minute' | 'hour' | 'day' | 'week' | 'month';

export interface CallOptions {
  /** Ends the wait for an answer. What the call counted stays counted. */
  signal?: AbortSignal | null;
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
  const type = values ? unionOf(values, field) : typeOf(field, where);
  const nullable = isNullable(field) ? ' | null' : '';
  return `${docBlock([comment])}\n${key(field.name)}: ${type}${nullable};`;
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
  const nullable = mayBeNull(parameter, routine) ? ' | null' : '';
  const type = parameterType(parameter, where);
  const doc = value && value !== 'NULL' ? `${docBlock([`Default: ${value}.`])}\n` : '';
  return `${doc}${key(parameter.name)}${value ? '?' : ''}: ${type}${nullable};`;
}

function renderSignature(routine: Routine, shapes: Map<string, string>): string {
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
    `${camelCase(routine.name)}(${args}options?: CallOptions): Promise<${result(routine, shapes)}>;`,
  ].join('\n');
}

function result(routine: Routine, shapes: Map<string, string>): string {
  const where = `${routine.name}()`;
  if (routine.returns === 'void') return 'void';
  const type =
    shapes.get(routine.returns.replace(/^public\./, '')) ??
    SCALARS[routine.returns] ??
    fail(
      where,
      `returns ${routine.returns}; return a scalar, or a composite type or view of schema public`,
    );
  return routine.returnsSet ? `${type}[]` : type;
}
