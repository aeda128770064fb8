// pgquota add: what is copied compiles in a project that knows only the package, and draws the same.
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createClient } from '@supabase/supabase-js';
import { Paywall, PricingTable, UsageIndicator, UsageProvider } from 'pgquota/react';
import { type ComponentType, createElement } from 'react';
import { renderToString } from 'react-dom/server';
import { afterAll, beforeAll, expect, test } from 'vitest';
import ws from 'ws';
import { PARTS } from '../../cli/add.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { createProject, pgquota, run } from '../package/cli.ts';

let project: ReturnType<typeof createProject>;
beforeAll(async () => {
  project = createProject({
    'src/app.ts': '',
    'tsconfig.json': JSON.stringify({
      compilerOptions: {
        strict: true,
        noEmit: true,
        skipLibCheck: true,
        jsx: 'react-jsx',
        module: 'esnext',
        moduleResolution: 'bundler',
        lib: ['es2023', 'dom'],
        types: [],
        paths: {
          pgquota: [fromRoot('types/index.ts')],
          'pgquota/react': [fromRoot('react/index.ts')],
        },
        allowImportingTsExtensions: true,
      },
      include: ['src'],
    }),
  });
  symlinkSync(fromRoot('node_modules'), join(project.folder, 'node_modules'));
});
afterAll(() => project.remove());

const ORIGINALS = {
  'usage-indicator': UsageIndicator,
  paywall: Paywall,
  'pricing-table': PricingTable,
};

test.for(PARTS)(
  '%s is copied, with its styles, and takes the rest from the package',
  async (part) => {
    const { code, output } = await pgquota(project.folder, ['add', part]);
    expect(output).toContain(`wrote src/components/${part}.tsx`);
    expect(code).toBe(0);
    const text = readFileSync(join(project.folder, `src/components/${part}.tsx`), 'utf8');
    const from = [...text.matchAll(/ from '([^']+)'/g)].map(([, name]) => name);
    expect(new Set(from)).toEqual(
      new Set([...from.filter((name) => name === 'pgquota'), 'react', 'pgquota/react']),
    );
    expect(text.startsWith("'use client';\n")).toBe(true);
    expect(readFileSync(join(project.folder, 'src/components/pgquota.css'), 'utf8')).toBe(
      readFileSync(fromRoot('react/styles.css'), 'utf8'),
    );

    const copied = await import(
      pathToFileURL(join(project.folder, `src/components/${part}.tsx`)).href
    );
    const client = createClient('http://localhost:1', 'anon', {
      realtime: { transport: ws as never },
    });
    const props = { refused: { feature: 'a' }, features: ['a'], onClose: () => {} };
    const html = (Part: ComponentType<typeof props>) =>
      renderToString(
        createElement(UsageProvider, { client, user: 'ada' }, createElement(Part, props)),
      );
    const original = ORIGINALS[part] as ComponentType<typeof props>;
    expect(html(copied[original.name])).toBe(html(original));
  },
);

test('what was copied compiles', async () => {
  const tsc = fromRoot('node_modules/.bin/tsc');
  expect(await run(tsc, ['-p', '.'], { cwd: project.folder })).toEqual({ code: 0, output: '' });
});

test('what is there is left as it is', async () => {
  const file = join(project.folder, 'elsewhere/paywall.tsx');
  expect((await pgquota(project.folder, ['add', 'paywall', 'elsewhere'])).code).toBe(0);
  writeFileSync(file, 'mine');
  const { code, output } = await pgquota(project.folder, ['add', 'paywall', 'elsewhere']);
  expect(output).toContain('elsewhere/paywall.tsx is there already');
  expect(code).toBe(1);
  expect(readFileSync(file, 'utf8')).toBe('mine');
});

test('an unknown part is refused with those there are', async () => {
  const { code, output } = await pgquota(project.folder, ['add', 'indicator']);
  expect(output).toContain('usage-indicator, paywall, pricing-table');
  expect(code).toBe(1);
  expect(existsSync(join(project.folder, 'src/components/indicator.tsx'))).toBe(false);
});
