// The parts of pgquota/react where there is no browser: a server renders them, and asks nothing.
import { readdirSync, readFileSync } from 'node:fs';
import { createClient } from '@supabase/supabase-js';
import {
  Paywall,
  PricingTable,
  UsageIndicator,
  UsageProvider,
  type UsageProviderProps,
  useUsage,
} from 'pgquota/react';
import { createElement, type ReactNode } from 'react';
import { renderToString } from 'react-dom/server';
import { expect, test } from 'vitest';
import ws from 'ws';
import { fromRoot } from '../../scripts/local/project.ts';

const asked: unknown[] = [];
const client = createClient('http://localhost:1', 'anon', {
  auth: { persistSession: false, autoRefreshToken: false },
  realtime: { transport: ws as never },
  global: {
    fetch: async (...args) => {
      asked.push(args);
      throw new Error('a server that renders asks nothing');
    },
  },
});
const render = (props: Partial<UsageProviderProps>, ...parts: ReactNode[]) =>
  renderToString(createElement(UsageProvider, { client, ...props }, ...parts));
const parts = () => [
  createElement(UsageIndicator, { key: 1, features: ['ai_generation', 'export'] }),
  createElement(PricingTable, { key: 2 }),
  createElement(Paywall, { key: 3, refused: null, onClose: () => {} }),
];

test.for([['ada'], [null], [undefined]])('for the user %s it is a page that waits', ([user]) => {
  const html = render({ user }, ...parts());
  expect(html.match(/pgquota-waiting/g)).toHaveLength(2);
  expect(html).toContain('aria-busy="true"');
  expect(html).not.toContain('<dialog');
  expect(asked).toEqual([]);
});

test('a paywall that is open from the start is rendered closed: only a browser can open it', () => {
  const refused = { feature: 'ai_generation' };
  const html = render(
    { user: 'ada' },
    createElement(Paywall, { key: 1, refused, onClose: () => {} }),
  );
  expect(html).toContain('<dialog');
  expect(html).not.toMatch(/<dialog[^>]* open/);
  expect(asked).toEqual([]);
});

test('a part without a provider says what is missing', () => {
  function Lost() {
    useUsage();
    return null;
  }
  expect(() => renderToString(createElement(Lost))).toThrow('<UsageProvider>');
});

test('every module that holds state or draws begins with "use client"', () => {
  const modules = readdirSync(fromRoot('react')).filter((name) => /\.tsx?$/.test(name));
  const without = modules.filter(
    (name) => !readFileSync(fromRoot(`react/${name}`), 'utf8').startsWith("'use client';\n"),
  );
  expect(without).toEqual(['plans.ts', 'store.ts', 'words.ts']);
});
