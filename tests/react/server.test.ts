// The parts of pgquota/react where there is no browser: a server renders them, and asks nothing.
import { readdirSync, readFileSync } from 'node:fs';
import { createClient } from '@supabase/supabase-js';
import {
  Paywall,
  PricingTable,
  UsageIndicator,
  UsageProvider,
  type UsageProviderProps,
  useEntitlement,
  useUsage,
} from 'pgquota/react';
import { createElement, type ReactNode } from 'react';
import { renderToString } from 'react-dom/server';
import { expect, test } from 'vitest';
import ws from 'ws';
import { ENGLISH } from '../../react/words.ts';
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

test('words for a window: it is no "this 5 hours", and one that is closed does not never reset', () => {
  expect(ENGLISH.per('5 hours')).toBe('per 5 hours');
  expect(ENGLISH.limit('50', 'Messages', '5 hours')).toBe('50 Messages per 5 hours');
  const said = { used: '10', limit: '10', reserved: null, remaining: null, period: '5 hours' };
  expect(ENGLISH.why({ ...said, resets: '27 Nov, 01:30 UTC' })).toBe(
    'You have used 10 of 10 in 5 hours. It starts again at 0 on 27 Nov, 01:30 UTC.',
  );
  expect(ENGLISH.why({ ...said, used: '0', resets: null })).toBe(
    'You have used 0 of 10 in 5 hours. It begins with the first use.',
  );
});

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

test('a switch and a value are not known on a server, unless it has read them', () => {
  const rows = [
    { feature: 'sso', kind: 'switch' as const, enabled: true, value: true },
    { feature: 'max_context', kind: 'value' as const, enabled: true, value: 0 },
  ];
  function Has({ feature, subject }: { feature: string; subject?: string }) {
    const { enabled, value, error } = useEntitlement<number | boolean>(feature, { subject });
    return createElement('i', null, JSON.stringify([enabled, value, error]).replaceAll('"', ''));
  }
  const shown = (props: Partial<UsageProviderProps>, feature: string, subject?: string) =>
    render(props, createElement(Has, { key: 1, feature, subject })).replaceAll(/<[^>]*>/g, '');
  for (const user of ['ada', null, undefined]) {
    expect(shown({ user }, 'sso')).toBe('[null,null,null]');
  }
  const initialEntitlements = ['ada', 'acme'].flatMap((subject) =>
    rows.slice(subject === 'ada' ? 0 : 1).map((row) => ({ ...row, subject })),
  );
  const known = { user: 'ada', initialEntitlements };
  expect(shown(known, 'sso')).toBe('[true,true,null]');
  expect(shown(known, 'max_context')).toBe('[true,0,null]');
  expect(shown(known, 'sso', 'acme')).toBe('[false,null,null]');
  expect(shown({ ...known, subject: 'acme' }, 'max_context')).toBe('[true,0,null]');
  // What was read for one user is not shown to another.
  expect(shown({ user: null, initialEntitlements }, 'sso')).toBe('[null,null,null]');
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
