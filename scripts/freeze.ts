// npm run freeze: the release at hand is what its migration says from now on, for good.
// npm run freeze -- 0.2.0: that, if it was not done, and opens the next release: a file of its own for what
// npm run build finds changed in sql/, and the version in package.json and CHANGELOG.md.
//
// Between the two comes the release itself: commit, tag, publish. See CONTRIBUTING.md.
import { readFileSync, writeFileSync } from 'node:fs';
import { isLater } from '../cli/update.ts';
import { build, compileEdition } from './build.ts';
import { fromRoot } from './local/project.ts';
import { type Throwaway, withThrowaway } from './local/throwaway.ts';
import {
  brokenReleases,
  checksum,
  fileOf,
  type Release,
  readReleases,
  textOf,
  writeReleases,
} from './releases.ts';

const PACKAGE = 'package.json';
const LOCK = 'package-lock.json';
const CHANGES = 'CHANGELOG.md';

const edit = (name: string, change: (text: string) => string) =>
  writeFileSync(fromRoot(name), change(readFileSync(fromRoot(name), 'utf8')));

/** One that is frozen already is left as it is. */
async function freeze(server: Throwaway, releases: Release[], now: Date): Promise<void> {
  const open = releases.at(-1) as Release;
  if (open.sha256) return;
  const text = textOf(open);
  const [name, current] = await compileEdition(server);
  if (text !== current) throw new Error(`${name} is not what sql/ says: npm run build`);
  open.sha256 = checksum(text);
  writeReleases(releases);
  const day = now.toISOString().slice(0, 10);
  edit(CHANGES, (page) =>
    page.replace(`## ${open.version} (unreleased)`, `## ${open.version} (${day})`),
  );
  console.log(`froze ${fileOf(open)}: release ${open.version}`);
}

async function open(
  server: Throwaway,
  releases: Release[],
  version: string,
  now: Date,
): Promise<void> {
  const last = releases.at(-1) as Release;
  const time = now.toISOString().replace(/\D/g, '').slice(0, 14);
  const file = `${time}_pgquota_${version.replaceAll('.', '_')}.sql`;
  if (file <= last.file) throw new Error(`${file} would not come after ${last.file}`);
  writeReleases([...releases, { version, file }]);
  for (const name of [PACKAGE, LOCK]) {
    edit(name, (text) => {
      const content = JSON.parse(text);
      content.version = version;
      if (content.packages) content.packages[''].version = version;
      return `${JSON.stringify(content, null, 2)}\n`;
    });
  }
  edit(CHANGES, (page) => page.replace(/^## /m, `## ${version} (unreleased)\n\n## `));
  await build(server);
  console.log(
    `opened ${version}; what happens to tables is written in sql/upgrades/${version}.sql`,
  );
}

const [version, ...more] = process.argv.slice(2);
const now = new Date();
const releases = readReleases();
const broken = brokenReleases(releases);
const newest = (releases.at(-1) as Release).version;
if (more.length || (version !== undefined && !/^\d+\.\d+\.\d+$/.test(version))) {
  throw new Error('npm run freeze, or npm run freeze -- <next version>, as in 0.2.0');
}
if (version !== undefined && !isLater(version, newest)) {
  throw new Error(`${version} is not later than ${newest}`);
}
if (broken.length) throw new Error(broken.join('\n'));
await withThrowaway(async (server) => {
  await freeze(server, releases, now);
  if (version !== undefined) await open(server, releases, version, now);
});
