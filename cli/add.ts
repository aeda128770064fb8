/** pgquota add: copies a part of pgquota/react into somebody's project, to be changed there. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromPackage } from './package.ts';
import { Problem } from './problem.ts';

export const PARTS = ['usage-indicator', 'paywall', 'pricing-table'] as const;
const STYLES = 'pgquota.css';

export function add(part: string, folder = existsSync('src') ? 'src/components' : 'components') {
  if (!(PARTS as readonly string[]).includes(part)) {
    throw new Problem(`There is no part ${part}.`, `There are: ${PARTS.join(', ')}.`);
  }
  const file = join(folder, `${part}.tsx`);
  if (existsSync(file)) {
    throw new Problem(
      `${file} is there already.`,
      'Nothing was written: move it away, or name another folder.',
    );
  }
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, ownedSource(readFileSync(fromPackage(`react/${part}.tsx`), 'utf8')));
  console.log(`wrote ${file}`);
  const styles = join(folder, STYLES);
  if (existsSync(styles)) console.log(`${styles} is there and was left as it is`);
  else {
    writeFileSync(styles, readFileSync(fromPackage('react/styles.css'), 'utf8'));
    console.log(`wrote ${styles}`);
  }
  console.log(
    `\nThey are yours: import the part from ${file} instead of pgquota/react, and ${STYLES} instead of\n` +
      'pgquota/react/styles.css. What it reads (UsageProvider, useUsage …) still comes from the package.',
  );
}

const OWN_IMPORT = /^import (type )?\{([^}]*)\} from '\.\/[\w-]+\.tsx?';\n/gm;

/** The source with what it takes from its neighbours taken from the package. */
function ownedSource(text: string): string {
  const bare = (name: string) => name.replace('type ', '');
  const names = [...text.matchAll(OWN_IMPORT)]
    .flatMap(([, type = '', list = '']) =>
      list.split(',').map((name) => name.trim() && type + name.trim()),
    )
    .filter(Boolean)
    .sort((a, b) => (bare(a) < bare(b) ? -1 : 1));
  const line = `import {\n  ${names.join(',\n  ')},\n} from 'pgquota/react';\n`;
  let isFirst = true;
  return text.replace(OWN_IMPORT, () => {
    if (!isFirst) return '';
    isFirst = false;
    return line;
  });
}
