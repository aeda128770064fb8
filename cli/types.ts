/** pgquota types: what a plan document names, as types of TypeScript. Asks no database. */
import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { readPlanDocument } from './plan-document.ts';
import { Problem } from './problem.ts';

interface Document {
  features: Record<string, { kind?: string }>;
  plans: Record<string, { limits: Record<string, object>; values?: Record<string, unknown> }>;
}

/** Prints them, or writes them to a file. */
export function types(file: string, target?: string): void {
  const text = renderTypes(JSON.parse(readPlanDocument(file)), basename(file));
  if (target === undefined) {
    process.stdout.write(text);
    return;
  }
  try {
    writeFileSync(target, text);
  } catch (error) {
    throw new Problem(`Cannot write ${target}: ${(error as Error).message}`);
  }
  console.log(`${file} → ${target}`);
}

export function renderTypes({ features, plans }: Document, name: string): string {
  const ids = Object.keys(features);
  const of = (...kinds: string[]) =>
    ids.filter((id) => kinds.includes(features[id]?.kind ?? 'metered'));
  const counted = of('metered', 'gauge');
  const periods = (id: string) =>
    Object.values(plans).flatMap(({ limits }) =>
      Object.hasOwn(limits, id) ? Object.keys(limits[id] as object) : [],
    );
  const values = (id: string) =>
    Object.values(plans).flatMap(({ values: own = {} }) =>
      Object.hasOwn(own, id) ? [own[id]] : [],
    );
  return [
    `// Generated from ${JSON.stringify(name)} by npx pgquota types. Do not edit.`,
    '',
    '/** All features: createUsageClient<Feature>(…), and a typo does not compile. */',
    'export type Feature = Counted | Switch | Value;',
    '',
    '/** Features that are counted: consumed, held, granted, limited. */',
    `export type Counted = ${union(counted)};`,
    '',
    '/** Features that are on or off. */',
    `export type Switch = ${union(of('switch'))};`,
    '',
    '/** Features that have a value. */',
    `export type Value = ${union(of('value'))};`,
    '',
    '/** What a switch or value is, where somebody has it: the types that stand in the plans. */',
    `export type Values = ${fields(of('switch', 'value'), (id) =>
      features[id]?.kind === 'switch' ? 'boolean' : typeOfAll(values(id)),
    )};`,
    '',
    '/** The periods by which a plan limits a feature. */',
    `export type Periods = ${fields(counted, (id) => union(periods(id)))};`,
    '',
    `export type Plan = ${union(Object.keys(plans))};`,
    '',
  ].join('\n');
}

const union = (texts: string[]) => unionOf(texts.map((text) => quoted(text)));
const unionOf = (types: string[]) => [...new Set(types)].join(' | ') || 'never';
// A comment or a line must not end within it.
const quoted = (text: string) =>
  JSON.stringify(text).replace(/[\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16)}`);

function fields(names: string[], typeOf: (name: string) => string): string {
  if (names.length === 0) return 'Record<never, never>';
  return `{\n${names.map((name) => `  ${quoted(name)}: ${typeOf(name)};\n`).join('')}}`;
}

/** An override may be of another type; a value that no plan has may be of any. */
function typeOfAll(values: unknown[]): string {
  return values.length === 0 ? 'unknown' : unionOf(values.map(typeOf));
}

function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return value.length ? `(${typeOfAll(value)})[]` : 'unknown[]';
  if (typeof value !== 'object') return typeof value;
  const entries = Object.entries(value);
  if (entries.length === 0) return 'Record<string, unknown>';
  return `{ ${entries.map(([key, inner]) => `${quoted(key)}: ${typeOf(inner)}`).join('; ')} }`;
}
