/** Paths of this project, whatever the working directory is. */
import { fileURLToPath } from 'node:url';

export function fromRoot(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}
