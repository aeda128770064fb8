// npm run verify in a copy of this project where something was edited and not built.
import {
  appendFileSync,
  cpSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cleanEnvironment, run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';

const FILES = ['package.json', 'biome.json', 'scripts', 'sql', 'supabase', 'types'];

test('verify names each file that is not current and each object that differs', async () => {
  const copy = mkdtempSync(join(tmpdir(), 'pgquota-verify-'));
  try {
    for (const name of FILES) cpSync(fromRoot(name), join(copy, name), { recursive: true });
    symlinkSync(realpathSync(fromRoot('node_modules')), join(copy, 'node_modules'));

    // One function of sql/ changed after the build, and one generated file edited by hand.
    const source = join(copy, 'sql/subjects/set_plan.sql');
    writeFileSync(
      source,
      readFileSync(source, 'utf8').replace('Puts a subject', 'Moves a subject'),
    );
    appendFileSync(join(copy, 'types/database.ts'), '// edited\n');
    // And a release that was frozen with another text.
    const releases = join(copy, 'sql/upgrades/releases.json');
    const [first, ...others] = JSON.parse(readFileSync(releases, 'utf8'));
    writeFileSync(releases, JSON.stringify([{ ...first, sha256: '0'.repeat(64) }, ...others]));

    const { code, output } = await run('npm', ['run', 'verify'], {
      cwd: copy,
      env: cleanEnvironment(),
    });
    expect(code).toBe(1);
    for (const line of [
      /^✗ frozen releases are as they were\n {4}supabase\/migrations\/\d+_pgquota.sql is frozen/m,
      /^✗ supabase\/migrations\/\d+_pgquota\w*.sql is current$/m,
      /^✗ dbmate gives the same .*\n {4}function public.set_plan\(.*\) differs/m,
      /^✗ supabase db push gives the same .*\n {4}function public.set_plan\(.*\) differs/m,
      /^✗ types\/database.ts is current$/m,
      /^✗ types\/client.ts is current$/m,
    ]) {
      expect(output).toMatch(line);
    }
    expect(output.match(/^✓ .*a second run/gm)?.length).toBeGreaterThanOrEqual(3);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}, 120_000);
