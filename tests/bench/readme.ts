/** The tables of the README that the bench writes, each between two comments with its name. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fromRoot } from '../../scripts/local/project.ts';

type Row = Record<string, string | number | null>;

export function markdownTable(rows: Row[]): string {
  const columns = Object.keys(rows[0] ?? {});
  const line = (cells: unknown[]) => `| ${cells.map((cell) => cell ?? '–').join(' | ')} |`;
  const rule = columns.map((_, at) => (at === 0 ? '---' : '---:'));
  return [line(columns), line(rule), ...rows.map((row) => line(Object.values(row)))].join('\n');
}

export function between(text: string, name: string, content: string): string {
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md has no place for it: ${begin} … ${end}`);
  return `${text.slice(0, from + begin.length)}\n${content}\n${text.slice(to)}`;
}

export function writeReadme(name: string, content: string): void {
  const file = fromRoot('README.md');
  writeFileSync(file, between(readFileSync(file, 'utf8'), name, content));
  console.log(`Wrote the table "${name}" of README.md`);
}
