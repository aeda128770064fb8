// Proves that what is generated is current, that every way of installing gives the same database,
// privileges and comments included, and that a second run changes nothing. Needs Node alone.
import { existsSync, readFileSync } from 'node:fs';
import { compileEdition } from './build.ts';
import { generateTypes } from './generate-types.ts';
import { withClient } from './local/client.ts';
import { fromRoot } from './local/project.ts';
import { type Throwaway, withThrowaway } from './local/throwaway.ts';
import { generateRelease } from './release.ts';
import { brokenReleases } from './releases.ts';
import { describe, differences } from './verify/describe.ts';
import { type Way, waysHere } from './verify/ways.ts';

const problems: string[] = [];

function report(what: string, found: string[]): void {
  console.log(`${found.length ? '✗' : '✓'} ${what}`);
  for (const line of found.slice(0, 20)) console.log(`    ${line}`);
  if (found.length > 20) console.log(`    and ${found.length - 20} more`);
  problems.push(...found);
}

function checkFile(name: string, content: string): void {
  const current = existsSync(fromRoot(name)) && readFileSync(fromRoot(name), 'utf8') === content;
  report(`${name} is current`, current ? [] : [`${name} is not what sql/ says: run npm run build`]);
}

const read = (url: string) => withClient(url, describe);

/** Installs in an empty database, and once more; gives back what the database then holds. */
async function tryWay(way: Way, url: string): Promise<Map<string, string>> {
  await way.install(url);
  const first = await read(url);
  const again = await way.install(url).catch((error: Error) => error);
  const refused = again instanceof Error;
  const changed = differences(first, await read(url));
  if (way.refusesSecondRun) {
    report(`${way.name}: a second run is refused and changes nothing`, [
      ...(refused ? [] : ['it was not refused']),
      ...changed,
    ]);
  } else {
    report(`${way.name}: a second run has nothing to do`, [
      ...(refused ? [again.message] : again.map((name) => `it applied ${name} again`)),
      ...changed,
    ]);
  }
  return first;
}

async function verifyDatabases(server: Throwaway): Promise<void> {
  const release = await generateRelease(await server.create('release'));
  for (const [name, content] of Object.entries(release)) checkFile(name, content);
  // An upgrade that gives another database than sql/ is no text at all.
  const [name, text] = await compileEdition(server).catch((error: Error): [string, string] => {
    report('the migration can be compiled', error.message.split('\n'));
    return ['', ''];
  });
  if (name) checkFile(name, text);
  const { ways, left } = waysHere();
  for (const line of left) console.log(`- ${line}`);
  let reference: { name: string; url: string; objects: Map<string, string> } | undefined;
  for (const [index, way] of ways.entries()) {
    const url = await server.create(`way_${index}`);
    const objects = await tryWay(way, url);
    if (!reference) {
      reference = { name: way.name, url, objects };
      continue;
    }
    report(
      `${way.name} gives the same ${objects.size} objects as ${reference.name}`,
      differences(reference.objects, objects),
    );
  }
  if (!reference) throw new Error('no way of installing was tried');
  const types = await generateTypes(reference.url);
  for (const [name, content] of Object.entries(types)) checkFile(name, content);
}

report('frozen releases are as they were', brokenReleases());
await withThrowaway(verifyDatabases);
console.log(
  problems.length ? `not verified: ${problems.length} problems` : 'verified: everything is current',
);
process.exitCode = problems.length ? 1 : 0;
