// The compiler as judge: the assertions of types.test.ts hold, and the client needs nothing that
// only Node has.
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';

const tsc = join(
  dirname(createRequire(import.meta.url).resolve('typescript/package.json')),
  'bin/tsc',
);

async function compile(file: string, lib: string, types = ''): Promise<string> {
  const { output } = await run(
    process.execPath,
    [
      ...[tsc, '--ignoreConfig', '--noEmit', '--strict', '--skipLibCheck', '--target', 'es2023'],
      ...['--module', 'nodenext', '--verbatimModuleSyntax', '--allowImportingTsExtensions'],
      ...['--lib', `es2023,${lib}`, '--types', types, file],
    ],
    { cwd: fromRoot('.') },
  );
  return output.trim();
}

test('every type assertion of this folder compiles', async () => {
  expect(await compile('tests/types/types.test.ts', 'dom', 'node')).toBe('');
});

test('the client compiles with the globals of a browser alone, and of a worker alone', async () => {
  expect(await compile('types/index.ts', 'dom')).toBe('');
  expect(await compile('types/index.ts', 'webworker')).toBe('');
  // and such a compiler does find what only Node has
  expect(await compile('scripts/local/ports.ts', 'webworker')).not.toBe('');
});
