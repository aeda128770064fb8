// The bench runs from one end to the other; its figures mean nothing here, what it lets pass does.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { withClient } from '../../scripts/local/client.ts';
import { cleanEnvironment, run } from '../../scripts/local/processes.ts';
import { fromRoot } from '../../scripts/local/project.ts';
import { createDatabase } from '../support/database.ts';
import { callsOf, pairsOf, prepareCalls, useOnce } from './calls.ts';
import { withNode } from './drivers.ts';
import { quantile } from './rounds.ts';
import type { Report } from './throughput.ts';

const SUBJECTS = 5;

test('npm run bench -- --quick measures every part, keeps the figures and draws them', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'pgquota-quick-'));
  try {
    const [json, svg] = [join(folder, 'bench.json'), join(folder, 'bench.svg')];
    const bench = fromRoot('tests/bench/bench.ts');
    const { code, output } = await run(
      process.execPath,
      ['--import', 'tsx', bench, '--quick', '--json', json, '--svg', svg],
      { cwd: fromRoot('.'), env: cleanEnvironment() },
    );
    expect(code, output).toBe(0);
    const report: Report = JSON.parse(readFileSync(json, 'utf8'));
    const parts = new Set(report.sections.map((section) => section.id.replace(/-.*/, '')));
    expect([...parts]).toEqual([
      'calls',
      'pairs',
      'hot',
      'growth',
      'node',
      'rest',
      'shared',
      'fold',
      'table',
    ]);
    for (const { title, rows } of report.sections) {
      for (const { name, perSecond, ratio, p50, p99 } of rows) {
        expect(Math.min(perSecond, ratio, p50, p99), `${title}: ${name}`).toBeGreaterThan(0);
      }
    }
    const exact = report.sections.find(({ id }) => id === 'node-hot')?.rows ?? [];
    for (const { name, allowed } of exact.filter((row) => !row.name.includes('in the app'))) {
      expect(allowed, name).toBe(100);
    }
    const picture = readFileSync(svg, 'utf8');
    expect(picture).toContain(report.machine.processor);
    expect(picture.match(/<rect /g)).toHaveLength(
      report.sections.flatMap((one) => one.rows).length,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 300_000);

test('without pgbench its scripts are run by node, with the same meaning', async () => {
  const database = await createDatabase();
  try {
    await withClient(database.url, async (client) => {
      await prepareCalls(client);
      await useOnce(client, 1, SUBJECTS, true);
    });
    for (const call of [...callsOf(SUBJECTS), ...pairsOf(SUBJECTS)]) {
      const { latencies } = await withNode(database.url, call, 2, { seconds: 0, calls: 2 });
      expect(latencies, call.name).toHaveLength(4);
    }
    await withClient(database.url, async (client) => {
      const { rows } = await client.query('select sum(used) from bench.counters');
      expect(Number(rows[0].sum)).toBe(8); // the update, and it with a line
      expect((await client.query('select * from verify_usage()')).rows).toEqual([]);
    });
  } finally {
    await database.drop();
  }
});

test('medians and percentiles are of the sorted figures', () => {
  expect(quantile([3, 1, 2], 0.5)).toBe(2);
  expect(
    quantile(
      Float64Array.from({ length: 100 }, (_, at) => 100 - at),
      0.99,
    ),
  ).toBe(100);
  expect(quantile([7], 0.99)).toBe(7);
});
