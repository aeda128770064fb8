/**
 * The releases, oldest first, with the file of supabase/migrations that brings each. One that has a checksum
 * is frozen: databases out there have run that file, and it never changes again. The last one may be open.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { fromRoot } from './local/project.ts';

export interface Release {
  version: string;
  file: string;
  /** Of the file's text with line ends as Git keeps them; none while the release is open. */
  sha256?: string;
}

const LIST = fromRoot('sql/upgrades/releases.json');

export const readReleases = (): Release[] => JSON.parse(readFileSync(LIST, 'utf8'));

export const writeReleases = (releases: Release[]): void =>
  writeFileSync(LIST, `[\n${releases.map((one) => `  ${JSON.stringify(one)}`).join(',\n')}\n]\n`);

export const fileOf = ({ file }: Release): string => `supabase/migrations/${file}`;

export const textOf = (release: Release): string =>
  readFileSync(fromRoot(fileOf(release)), 'utf8').replaceAll('\r\n', '\n');

export const checksum = (text: string): string => createHash('sha256').update(text).digest('hex');

/** Which releases are not what they were when they were frozen, in words. */
export function brokenReleases(releases = readReleases()): string[] {
  const { version } = JSON.parse(readFileSync(fromRoot('package.json'), 'utf8'));
  const last = releases.at(-1);
  return [
    ...releases.flatMap((release, index) => {
      if (!release.sha256) {
        return index < releases.length - 1
          ? [`${release.version} is followed by another and not frozen`]
          : [];
      }
      if (checksum(textOf(release)) === release.sha256) return [];
      return [
        `${fileOf(release)} is frozen as release ${release.version} and was changed: take it back (git checkout), changes go into the next release`,
      ];
    }),
    ...(last?.version === version
      ? []
      : [
          `package.json says ${version}, the last of sql/upgrades/releases.json is ${last?.version}`,
        ]),
  ];
}
