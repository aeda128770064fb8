/**
 * What an installation consists of, read from the migrations that this package ships: they are the
 * one place that says which functions there are, with whose rights they run and who may call them.
 * The house style of sql/ makes that readable with a few patterns.
 */
import { shippedMigrations } from './package.ts';

export interface Installation {
  functions: Map<string, { isDefiner: boolean; callers: string[] }>;
  relations: Map<string, { kind: string; readers: string[] }>;
  types: Set<string>;
  /** `quota.events select_own` */
  policies: Set<string>;
}

const NAME = String.raw`((?:quota|public)\.\w+)`;

export function shippedInstallation(migrations = shippedMigrations()): Installation {
  const functions: Installation['functions'] = new Map();
  const relations: Installation['relations'] = new Map();
  const types = new Set<string>();
  const policies = new Set<string>();

  for (const statement of migrations.flatMap(({ text }) => statementsOf(text))) {
    const when = (pattern: string, use: (first: string, second: string) => void) => {
      const match = new RegExp(`^${pattern}`).exec(statement);
      if (match) use(match[1] ?? '', match[2] ?? '');
    };
    when(`create (?:or replace )?function ${NAME}\\(`, (name) => {
      const header = statement.slice(0, statement.search(/^as \$/m));
      const callers = functions.get(name)?.callers ?? [];
      functions.set(name, { isDefiner: header.includes('security definer'), callers });
    });
    when(`create (?:or replace )?(table|view) (?:if not exists )?${NAME}`, (kind, name) => {
      relations.set(name, { kind, readers: relations.get(name)?.readers ?? [] });
    });
    when(`create type ${NAME}`, (name) => types.add(name));
    when(`create policy (\\w+) on ${NAME}`, (policy, table) => policies.add(`${table} ${policy}`));

    when(`grant execute on function ${NAME}\\(`, (name) =>
      functions.get(name)?.callers.push(...rolesOf(statement)),
    );
    when(`grant select on (?:table )?${NAME}`, (name) =>
      relations.get(name)?.readers.push(...rolesOf(statement)),
    );

    when(`drop (?:function|table|view|type) (?:if exists )?${NAME}`, (name) => {
      for (const kind of [functions, relations, types]) kind.delete(name);
    });
    when(`drop policy (?:if exists )?(\\w+) on ${NAME}`, (policy, table) =>
      policies.delete(`${table} ${policy}`),
    );
  }
  return { functions, relations, types, policies };
}

/** They begin at the start of a line; what a function's body contains is indented. */
const statementsOf = (sql: string) =>
  [...sql.matchAll(/^(?:create|drop|grant) [\s\S]*?;$/gm)].map(([statement]) => statement);

const rolesOf = (grant: string) =>
  grant
    .slice(grant.lastIndexOf(' to ') + 4, -1)
    .split(',')
    .map((role) => role.trim());
