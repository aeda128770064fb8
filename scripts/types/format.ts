/** Generated TypeScript goes through the project's own formatter. */
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';
import { fromRoot } from '../local/project.ts';

export async function format(source: string): Promise<string> {
  const biome = createRequire(import.meta.url).resolve('@biomejs/biome/bin/biome');
  // A name of its own: the generated files are excluded from what biome looks at.
  const child = spawn(
    process.execPath,
    [biome, 'format', '--stdin-file-path=types/formatted.ts', '--vcs-enabled=false'],
    { cwd: fromRoot('.') },
  );
  child.stdin.end(source);
  const ended = new Promise((resolve) => child.on('close', resolve));
  const [formatted, messages, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    ended,
  ]);
  if (code !== 0) throw new Error(`biome cannot format what was generated:\n${messages}`);
  return formatted;
}
