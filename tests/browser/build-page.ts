/** The page is built once for all test files. */
import { buildPage } from '../../examples/web/server/prepare.ts';

export default buildPage;
