/** The pages are built once for all test files: the example, and the parts of pgquota/react alone. */
import { buildPage } from '../../examples/web/server/prepare.ts';
import { fromRoot } from '../../scripts/local/project.ts';

export default async function build(): Promise<void> {
  await buildPage();
  await buildPage(fromRoot('tests/browser/fixture'));
}
