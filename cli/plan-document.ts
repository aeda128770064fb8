/**
 * Judges a plan document before any database is asked, by the schema that editors use and by the
 * rules that a schema cannot say. The database has the last word.
 */
import { readFileSync } from 'node:fs';
import { Ajv, type ErrorObject } from 'ajv';
import {
  findNodeAtLocation,
  getNodeValue,
  type JSONPath,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from 'jsonc-parser';
import { fromPackage } from './package.ts';
import { Problem } from './problem.ts';

interface Fault {
  path: JSONPath;
  found: unknown;
  expected: string;
}

/** The document's text; throws a Problem that names each wrong place. */
export function readPlanDocument(file: string): string {
  const text = readText(file);
  const place = (offset: number) => {
    const before = text.slice(0, offset).split('\n');
    return `${file}:${before.length}:${(before.at(-1) as string).length + 1}`;
  };
  const errors: ParseError[] = [];
  const tree = parseTree(text, errors, { disallowComments: true });
  const [first] = errors;
  if (first || !tree) {
    const what = first ? splitWords(printParseErrorCode(first.error)) : 'it is empty';
    throw new Problem(`${place(first?.offset ?? 0)}: not JSON: ${what}`);
  }
  const faults = findFaults(tree);
  if (faults.length === 0) return text;
  throw new Problem(
    faults
      .map(({ path, found, expected }) => {
        const node = nearest(tree, path);
        const name = path.join('.') || 'top level';
        return `${place(node.offset)}: ${name}: found ${shown(found)}, expected ${expected}`;
      })
      .join('\n'),
  );
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new Problem(`Cannot read ${file}: ${message}`);
    throw new Problem(`There is no file ${file}.`, 'npx pgquota init writes one to begin with.');
  }
}

export function findFaults(tree: Node): Fault[] {
  const doubled = findDoubled(tree);
  if (doubled.length) return doubled;
  const document = getNodeValue(tree);
  const validate = new Ajv({ allErrors: true, verbose: true, allowUnionTypes: true }).compile(
    JSON.parse(readFileSync(fromPackage('schema/plans.schema.json'), 'utf8')),
  );
  if (validate(document)) return findContradictions(document as Document);
  const faults = (validate.errors ?? []).map(faultOf).filter((fault) => fault !== undefined);
  // One wrong value can break several rules of the same description.
  const seen = new Map(faults.map((fault) => [JSON.stringify(fault), fault]));
  return [...seen.values()];
}

/** JSON allows a key twice, and the last one wins unseen. */
function findDoubled(node: Node, path: JSONPath = []): Fault[] {
  if (node.type === 'array') return [];
  const seen = new Set<string>();
  return (node.children ?? []).flatMap((property) => {
    const [key, value] = property.children ?? [];
    const inner = [...path, key?.value];
    if (seen.has(key?.value))
      return [{ path: inner, found: key?.value, expected: 'each key once' }];
    seen.add(key?.value);
    return value?.type === 'object' ? findDoubled(value, inner) : [];
  });
}

const WINDOW = ', or a window as in "5 hours", "1 day"';

/** What was expected stands in the schema, as the description that editors show. */
function faultOf(error: ErrorObject): Fault | undefined {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
  const expected: string = error.parentSchema?.description;
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = error.params.additionalProperty;
      const known = Object.keys(error.parentSchema?.properties);
      const window = error.parentSchema?.patternProperties ? WINDOW : '';
      const expected = `one of the keys ${known.join(', ')}${window}`;
      return { path: [...path, key], found: key, expected };
    }
    case 'required': {
      const key = error.params.missingProperty;
      const { description } = error.parentSchema?.properties[key] ?? {};
      return { path: [...path, key], found: undefined, expected: description };
    }
    // Its cause is reported too, and says more.
    case 'propertyNames':
    case 'if':
      return undefined;
    default:
      if (error.propertyName === undefined) return { path, found: error.data, expected };
      return { path: [...path, error.propertyName], found: error.propertyName, expected };
  }
}

interface Document {
  features: Record<string, Feature>;
  plans: Record<string, Plan>;
}

interface Feature {
  kind?: string;
  costs?: Record<string, number | string>;
}

interface Plan {
  default?: boolean;
  retired?: boolean;
  successor?: string;
  moves?: string;
  limits: Record<string, object>;
  values?: Record<string, unknown>;
  per_member?: Record<string, object>;
}

const isCounted = (kind = 'metered') => kind !== 'switch' && kind !== 'value';

function findContradictions({ features, plans }: Document): Fault[] {
  const faults: Fault[] = [];
  let first: string | undefined;
  for (const [plan, { default: isDefault, limits, values = {}, per_member = {} }] of Object.entries(
    plans,
  )) {
    if (isDefault && first !== undefined) {
      const expected = `one default plan, and ${first} is it already`;
      faults.push({ path: ['plans', plan, 'default'], found: true, expected });
    }
    if (isDefault) first ??= plan;
    for (const [feature, periods] of Object.entries(limits)) {
      const path = ['plans', plan, 'limits', feature];
      if (!Object.hasOwn(features, feature)) {
        faults.push({ path, found: feature, expected: 'a feature of this document' });
        continue;
      }
      if (!isCounted(features[feature]?.kind)) {
        const expected = 'a feature that is counted; a switch or value stands in values';
        faults.push({ path, found: feature, expected });
      }
      if (features[feature]?.kind !== 'gauge') continue;
      for (const period of Object.keys(periods).filter((key) => key !== 'lifetime')) {
        const expected = 'the period lifetime, which is the only one of a gauge';
        faults.push({ path: [...path, period], found: period, expected });
      }
    }
    for (const feature of Object.keys(per_member)) {
      const { kind = 'metered' } = (Object.hasOwn(features, feature) && features[feature]) || {
        kind: null,
      };
      if (kind === 'metered') continue;
      const path = ['plans', plan, 'per_member', feature];
      faults.push({ path, found: feature, expected: 'a metered feature of this document' });
    }
    for (const [feature, value] of Object.entries(values)) {
      const path = ['plans', plan, 'values', feature];
      const kind = Object.hasOwn(features, feature) ? (features[feature]?.kind ?? 'metered') : null;
      if (kind === null) {
        faults.push({ path, found: feature, expected: 'a feature of this document' });
      } else if (isCounted(kind)) {
        const expected = 'a switch or value; what is counted stands in limits';
        faults.push({ path, found: feature, expected });
      } else if (kind === 'switch' && typeof value !== 'boolean') {
        faults.push({ path, found: value, expected: 'true or false' });
      }
    }
  }
  faults.push(...Object.keys(features).flatMap((feature) => findCostFaults(features, feature)));
  return [...faults, ...Object.keys(plans).flatMap((plan) => findAgeFaults(plans, plan))];
}

/** What is paid with costs nothing itself: no chains, and no circle. */
function findCostFaults(features: Record<string, Feature>, id: string): Fault[] {
  const { kind = 'metered', costs } = features[id] as Feature;
  if (costs && kind !== 'metered') {
    return [
      {
        path: ['features', id, 'costs'],
        found: kind,
        expected: 'costs of a metered feature alone',
      },
    ];
  }
  return Object.entries(costs ?? {}).flatMap(([cost, price]) => {
    const path = ['features', id, 'costs', cost];
    const paid = Object.hasOwn(features, cost) ? (features[cost] as Feature) : undefined;
    if ((paid?.kind ?? 'metered') !== 'metered' || !paid || Object.keys(paid.costs ?? {}).length) {
      const expected = 'a metered feature of this document that costs nothing itself';
      return [{ path, found: cost, expected }];
    }
    if (
      String(price)
        .split('/')
        .some((part) => Number(part) > Number.MAX_SAFE_INTEGER)
    ) {
      const expected =
        'a whole number from 1 to 9007199254740991, or a fraction as text such as "1/1000"';
      return [{ path, found: price, expected }];
    }
    return [];
  });
}

/** Of a plan that ages: retired, successor and moves go together. */
function findAgeFaults(plans: Record<string, Plan>, id: string): Fault[] {
  const { default: isDefault, retired, successor, moves } = plans[id] as Plan;
  const fault = (key: string, found: unknown, expected: string): Fault[] => [
    { path: ['plans', id, key], found, expected },
  ];
  if (retired && isDefault) {
    return fault('retired', true, 'another default plan: a retired one takes no new subjects');
  }
  if (moves !== undefined && successor === undefined) {
    return fault('moves', moves, 'a successor beside it');
  }
  if (successor === undefined) return [];
  if (!Object.hasOwn(plans, successor)) {
    return fault('successor', successor, 'a plan of this document');
  }
  if (!retired) {
    const expected = '"retired": true beside it: only a retired plan has a successor';
    return fault('successor', successor, expected);
  }
  const seen = new Set<string>();
  for (let next: string | undefined = successor; next && !seen.has(next); ) {
    if (next === id) {
      return fault('successor', successor, 'a plan whose successors do not lead back here');
    }
    seen.add(next);
    next = plans[next]?.successor;
  }
  return [];
}

/** The place of a value; of a missing one, its parent's. Of a wrong key, the key's. */
export function nearest(tree: Node, path: JSONPath): Node {
  for (let length = path.length; length > 0; length--) {
    const node = findNodeAtLocation(tree, path.slice(0, length));
    if (node) return node.parent?.children?.[0] ?? node;
  }
  return tree;
}

export function shown(found: unknown): string {
  if (found === undefined) return 'nothing';
  const text = JSON.stringify(found);
  const short = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return found === -1 ? `${short} (unlimited is written null)` : short;
}

export const splitWords = (name: string) => name.replace(/(?<=[a-z])(?=[A-Z])/g, ' ').toLowerCase();
