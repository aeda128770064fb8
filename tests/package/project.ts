/** A fresh folder with the packed package in it, as `npm install pgquota` would leave it. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fromRoot } from '../../scripts/local/project.ts';
import { createProject, type Ended, run, start } from './cli.ts';

const ENVIRONMENT = {
  SUPABASE_TELEMETRY_DISABLED: '1',
  npm_config_audit: 'false',
  npm_config_fund: 'false',
  npm_config_loglevel: 'error',
  npm_config_prefer_offline: 'true',
};

/** supabase: the command of this checkout, nobody to answer its question, and supabase-js on Node 20. */
export const SUPABASE = {
  PATH: `${fromRoot('node_modules/.bin')}:${process.env.PATH}`,
  SUPABASE_YES: '1',
  NODE_OPTIONS: Number.parseInt(process.versions.node, 10) < 22 ? '--experimental-websocket' : '',
};
export const CLI: [string, string][] = [['npx supabase ', 'supabase ']];

export interface FreshProject {
  folder: string;
  /** A line as a person types it; an exit code other than 0 is an error. */
  type(line: string, environment?: NodeJS.ProcessEnv): Promise<string>;
  /** The same, whatever the exit code. */
  tryTo(line: string, environment?: NodeJS.ProcessEnv): Promise<Ended>;
  /** What runs until it is killed. */
  start(line: string, environment?: NodeJS.ProcessEnv): ReturnType<typeof start>;
  read(path: string): string;
  write(path: string, text: string): void;
  remove(): void;
}

export function createFreshProject(
  tarball: string,
  files: Record<string, string> = {},
): FreshProject {
  const { folder, remove } = createProject({
    'package.json': JSON.stringify({ name: 'app', private: true, type: 'module' }),
    ...files,
  });
  // The package comes from this checkout; everything else from where npm has it.
  const resolved = (line: string) =>
    line.replace(/\bnpm (install|i) [^\n&;|]*/g, (command) =>
      command.replace(/(?<=\s)pgquota(@latest)?(?!\S)/, tarball),
    );
  const tryTo = (line: string, environment: NodeJS.ProcessEnv = {}) =>
    run('bash', ['-e', '-o', 'pipefail', '-c', resolved(line)], {
      cwd: folder,
      environment: { ...ENVIRONMENT, ...environment },
    });
  return {
    folder,
    remove,
    tryTo,
    async type(line, environment) {
      const { code, output } = await tryTo(line, environment);
      if (code !== 0) throw new Error(`${line}\nended with exit code ${code}:\n${output}`);
      return output;
    },
    start: (line, environment = {}) =>
      start('bash', ['-c', line], {
        cwd: folder,
        environment: { ...ENVIRONMENT, ...environment },
      }),
    read: (path) => readFileSync(join(folder, path), 'utf8'),
    write(path, text) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    },
  };
}
