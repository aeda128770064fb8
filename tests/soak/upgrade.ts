/** An upgrade as npm run build makes them: from this release to one that differs in its version alone. */
import { compileMigration, thisVersion } from '../../scripts/build.ts';
import type { Throwaway } from '../../scripts/local/throwaway.ts';
import { compileUpgrade } from '../../scripts/upgrade.ts';

export const NEXT = '99.0.0';

export function upgradeOf(server: Pick<Throwaway, 'create'>): Promise<string> {
  const from = thisVersion();
  const book = compileMigration();
  return compileUpgrade(server, {
    from,
    to: NEXT,
    frozen: [book],
    state: '',
    book: book.replaceAll(`'${from}'`, `'${NEXT}'`),
  });
}
