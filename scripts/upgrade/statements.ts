/** The text of sql/ as statements, and of what each speaks. The house style makes that readable with few patterns. */

export interface Statement {
  /** With the comment right before it. */
  text: string;
  verb: string;
  /** What it makes or says something of, as describe() names it, a function without its arguments. */
  object?: string;
  /** All that it names in schemas quota and public. */
  names: string[];
}

export function statementsOf(text: string): Statement[] {
  const found = text.match(/(?:--.*|\$\$[\s\S]*?\$\$|'[^']*'|[^;])+;/g) ?? [];
  return found.map((piece) => {
    const [, before = '', sql = ''] = /^((?:\s|--.*\n)*)([\s\S]*)$/.exec(piece) ?? [];
    // A comment belongs to what follows without an empty line.
    const comment = before.slice(before.lastIndexOf('\n\n') + 1).trimStart();
    const head = sql.replaceAll(/\$\$[\s\S]*?\$\$|'[^']*'/g, '').replaceAll('"', '');
    return {
      text: comment + sql,
      verb: /^\w+/.exec(sql)?.[0] ?? '',
      object: objectOf(head),
      names: [...head.matchAll(/\b(?:quota|public)\.\w+/g)].map(([name]) => name),
    };
  });
}

const PATTERNS: [RegExp, (...found: string[]) => string][] = [
  [
    /^create (?:or replace )?(function|type|view|table) ([\w.]+)/,
    (kind, name) => `${kind} ${name}`,
  ],
  [/^create (?:unique )?index (\w+)\s+on (\w+)\./, (name, schema) => `index ${schema}.${name}`],
  [
    /^(?:create|comment on) (policy|constraint|trigger) (\w+) on ([\w.]+)/,
    (kind, name, on) => `${kind} ${on}.${name}`,
  ],
  [/^create trigger (\w+) [\s\S]*? on ([\w.]+)/, (name, on) => `trigger ${on}.${name}`],
  [
    /^comment on (function|type|view|table|column|index|schema) ([\w.]+)/,
    (kind, name) => `${kind} ${name}`,
  ],
  [/^alter (table|type) ([\w.]+)/, (kind, name) => `${kind} ${name}`],
  [/^insert into ([\w.]+)/, (name) => `table ${name}`],
  [/^(?:grant|revoke) [\w\s,]+ on schema (\w+)/, (name) => `schema ${name}`],
];

function objectOf(head: string): string | undefined {
  for (const [pattern, render] of PATTERNS) {
    const [, ...found] = pattern.exec(head) ?? [];
    if (found.length) return render(...found);
  }
}
