/** What a page shows: its blocks of code, all of them or those below one heading, in their order. */
import { readFileSync } from 'node:fs';
import { fromRoot } from '../../scripts/local/project.ts';

export function blocksOf(path: string): (language: string, heading?: string) => string[] {
  const text = readFileSync(fromRoot(path), 'utf8');
  return (language, heading) => {
    const part = heading === undefined ? text : sectionOf(text, heading);
    return [...part.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(
      ([, block]) => block as string,
    );
  };
}

export function sectionOf(text: string, heading: string): string {
  const section = text.split(/^##+ /m).find((part) => part.startsWith(`${heading}\n`));
  if (section === undefined) throw new Error(`The page has no heading ${heading}`);
  return section;
}
