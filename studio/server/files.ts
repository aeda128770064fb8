/** The built page: a few files, read once. Nothing of the file system is named by a request. */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { Problem } from '../../cli/problem.ts';

export interface File {
  body: Buffer | string;
  type: string;
  /** Named after what is in them, so they never change. */
  isLasting: boolean;
  nonce?: string;
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export function readFiles(folder: string): (path: string) => File | undefined {
  const index = join(folder, 'index.html');
  if (!existsSync(index)) {
    throw new Problem(
      `The page of the studio is not built: there is no ${index}.`,
      'In a checkout of pgquota: npm run build:studio. The package on npm has it.',
    );
  }
  const page = readFileSync(index, 'utf8');
  const files = new Map<string, File>();
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const type = TYPES[extname(name)];
    if (!type || name === 'index.html') continue;
    const path = `/${name.replaceAll('\\', '/')}`;
    files.set(path, {
      body: readFileSync(join(folder, name)),
      type,
      isLasting: path.startsWith('/assets/'),
    });
  }
  return (path) => {
    const file = files.get(path);
    if (file) return file;
    // Whatever else has no ending is a place within the page.
    if (extname(path) !== '' && !path.startsWith('/subject/')) return undefined;
    const nonce = randomBytes(16).toString('base64');
    return {
      body: page.replace('NONCE', nonce),
      type: TYPES['.html'] as string,
      isLasting: false,
      nonce,
    };
  };
}

/** No script but the page's own files; styles also of the editor, which makes them as it runs. */
export const policy = (nonce: string | undefined) =>
  [
    `default-src 'none'`,
    `script-src 'self'`,
    `style-src 'self'${nonce ? ` 'nonce-${nonce}'` : ''}`,
    `img-src 'self' data:`,
    `font-src 'self'`,
    `connect-src 'self'`,
    `base-uri 'none'`,
    `form-action 'none'`,
    `frame-ancestors 'none'`,
  ].join('; ');
