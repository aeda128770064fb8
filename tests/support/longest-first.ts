/**
 * The files that take longest begin first, so that none of them runs alone at the end. A clean checkout
 * knows no durations yet; those not named here follow as vitest orders them, by their size.
 */
import type { TestSpecification } from 'vitest/node';
import { BaseSequencer } from 'vitest/node';

const LONGEST = [
  // npm run test:full
  'package/ways',
  'package/install',
  'package/next',
  'full/production',
  'browser/studio',
  'browser/example',
  'full/instructions',
  'full/pg_prove',
  // npm test
  'local/start',
  'package/init',
  'package/alerts',
  'package/plain-server',
  'concurrency/reservations',
  'bench/quick',
  'migrations/verify',
  'package/doctor',
  'storm/walk',
  'storm/storm',
  'zoo/zoo',
  'zoo/holds',
  'concurrency/snapshots',
  'gauges/races',
];

export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`/tests/${name}.test.ts`));
      return at < 0 ? LONGEST.length : at;
    };
    return (await super.sort(files)).sort((a, b) => place(a) - place(b));
  }
}
