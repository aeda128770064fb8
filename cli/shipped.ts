/**
 * What the migrations that this package ships say: the names they need in schema public, and the text
 * of a function or view, to put it back. The house style of sql/ makes that readable with few patterns.
 */
import { shippedMigrations } from './package.ts';

const all = () =>
  shippedMigrations()
    .map(({ text }) => text.replaceAll('\r\n', '\n'))
    .join('\n');

/** Functions, views and types of schema public. */
export function shippedNames(text = all()): string[] {
  const found = text.matchAll(/^create (?:or replace )?(?:function|view|type) public\.(\w+)/gm);
  return [...new Set([...found].map(([, name]) => name as string))];
}

/** The body of a function as Postgres keeps it; undefined when this package has no such function. */
export function shippedBody(name: string, text = all()): string | undefined {
  return /^as \$\$([\s\S]*)^\$\$;$/m.exec(lastOf(text, 'function', name) ?? '')?.[1];
}

/** The statements that make a function or view and give it its comment and rights. */
export function shippedText(
  kind: 'function' | 'view',
  name: string,
  text = all(),
): string | undefined {
  const made = lastOf(text, kind, name);
  if (!made) return;
  const create = made.replace(/^create (?!or replace)/, 'create or replace ');
  // What was said of it before may be true no more.
  const after = text.slice(text.lastIndexOf(made));
  const comments = new RegExp(
    `^comment on (?:${kind}|column) ${escaped(name)}\\b[\\s\\S]*?;$`,
    'gm',
  );
  return [create, ...(after.match(comments) ?? []), ...rightsOf(kind, name, text)].join('\n');
}

/** sql/rights.sql lends many objects in one statement; here each has its own. Each migration has all of that page. */
function rightsOf(kind: 'function' | 'view', name: string, text: string): string[] {
  const page = text.slice(text.lastIndexOf('-- migrate:up'));
  const object = kind === 'function' ? `function ${name}` : name;
  const granted = [...page.matchAll(/^grant (\w+) on(?: function)?\s([^;]*?)\sto ([^;]*);$/gm)]
    .filter(([, , names]) => (names as string).trim().split(/,\s*/).includes(name))
    .map(([, right, , roles]) => `grant ${right} on ${object} to ${roles};`);
  return [
    `revoke all on ${object} from public, anon, authenticated, service_role;`,
    ...new Set(granted),
  ];
}

/** A later migration may have made it anew. */
function lastOf(text: string, kind: 'function' | 'view', name: string): string | undefined {
  const end = kind === 'function' ? '^\\$\\$;$' : ';$';
  const pattern = `^create (?:or replace )?${kind} ${escaped(name)}\\b[\\s\\S]*?${end}`;
  return [...text.matchAll(new RegExp(pattern, 'gm'))].at(-1)?.[0];
}

const escaped = (name: string) => name.replaceAll('.', '\\.');
