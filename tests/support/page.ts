/** What a page shows: its blocks of code, all of them or those below one heading, in their order. */
import { readFileSync } from 'node:fs';
import type pg from 'pg';
import { expect } from 'vitest';
import { fromRoot } from '../../scripts/local/project.ts';
import { setClock } from './clock.ts';

export function blocksOf(path: string): (language: string, heading?: string) => string[] {
  const text = readFileSync(fromRoot(path), 'utf8');
  return (language, heading) => {
    const part = heading === undefined ? text : sectionOf(text, heading);
    return [...part.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(
      ([, block]) => block as string,
    );
  };
}

export function sectionOf(text: string, heading: string): string {
  const section = text.split(/^##+ /m).find((part) => part.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`The page has no heading ${heading}`);
  return section;
}

export interface RunPage {
  /** The nth document of the page. */
  json(n: number): unknown;
  /** Moves the database's clock. */
  at(instant: string): Promise<void>;
  /** Runs the query of that name; its answer is the block after it, cell by cell. */
  says(name: string): Promise<void>;
}

/** A page whose queries (`sql name`) are each followed by their answer (`text`). */
export async function runPage(client: pg.Client, path: string): Promise<RunPage> {
  const text = readFileSync(fromRoot(path), 'utf8');
  const documents = blocksOf(path)('json');
  await client.query(`set timezone = 'UTC'; set datestyle = 'ISO'`);
  return {
    json: (n) => JSON.parse(documents[n] as string),
    at: (instant) => setClock(client, instant),
    async says(name) {
      const pair = new RegExp(
        `^\`\`\`sql ${name}\\n(.*?)^\`\`\`$\\s+^\`\`\`text\\n(.*?)^\`\`\`$`,
        'ms',
      );
      const [, query, answer] = pair.exec(text) ?? [];
      if (!query || !answer) throw new Error(`${path} has no query ${name} with an answer`);
      const { rows } = await client.query(query);
      const told = rows.map((row) => Object.values(row).map(shown));
      const said = answer
        .trimEnd()
        .split('\n')
        .map((line) => line.split('|').map((cell) => cell.trim()));
      expect(told, `what ${path} says of ${name}`).toEqual(said);
    },
  };
}

const shown = (value: unknown) =>
  value instanceof Date ? value.toISOString().slice(0, 19).replace('T', ' ') : `${value ?? '-'}`;
