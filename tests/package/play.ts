/**
 * Plays a page: what stands there as a file (its path in the line before, in backticks) is written, what
 * is a command is typed, and what is shown as its output must have been said.
 */
import { readFileSync } from 'node:fs';
import { fromRoot } from '../../scripts/local/project.ts';
import { sectionOf } from '../support/page.ts';
import type { FreshProject } from './project.ts';

export interface Played {
  /** All that the commands said. */
  output: string;
  files: string[];
}

interface Options {
  /** Only what stands below this heading. */
  heading?: string;
  environment?: NodeJS.ProcessEnv;
  /** The values of the page's own `.env`, by name. */
  secrets?: Record<string, string>;
  /** Something that a command of the page cannot have here, and what stands in for it. */
  instead?: [text: string, other: string][];
}

const BLOCK = /(?:(?<before>[^\n]*)\n\n)?^```(?<language>\w+)\n(?<text>.*?)^```$/gms;

export async function play(page: string, project: FreshProject, options: Options): Promise<Played> {
  const { heading, environment, secrets = {}, instead = [] } = options;
  const played: Played = { output: '', files: [] };
  let last = '';
  const whole = readFileSync(fromRoot(page), 'utf8');
  const part = heading === undefined ? whole : sectionOf(whole, heading);
  const blocks = part.matchAll(BLOCK);
  for (const { groups } of blocks) {
    const { before = '', language, text = '' } = groups as Record<string, string>;
    const [, path] = before.match(/`([\w./-]+\.\w+)`[^`]*:$/) ?? [];
    if (language === 'dotenv') {
      const names = [...text.matchAll(/^(\w+)=/gm)].map(([, name]) => name as string);
      project.write('.env', names.map((name) => `${name}=${secretOf(name, secrets)}\n`).join(''));
    } else if (language === 'sh') {
      let commands = text;
      for (const [one, other] of instead) commands = commands.replaceAll(one, other);
      last = await project.type(commands, environment);
      played.output += last;
    } else if (language === 'text') {
      const said = last.split('\n').map((line) => line.trimEnd());
      const missing = text
        .trimEnd()
        .split('\n')
        .filter((line) => !said.some((one) => one.startsWith(line.trimEnd())));
      if (missing.length)
        throw new Error(
          `${page} shows what was not said:\n${missing.join('\n')}\nSaid was:\n${last}`,
        );
    } else if (path) {
      project.write(path, text);
      played.files.push(path);
    }
  }
  return played;
}

function secretOf(name: string, secrets: Record<string, string>): string {
  const value = secrets[name];
  if (value === undefined)
    throw new Error(`The page's .env names ${name}, which is not known here`);
  return value;
}
