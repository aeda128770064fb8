// Writes types/database.ts, types/client.ts and types/statements.ts from what the migration makes of an empty database.
// `npm run verify` generates again and compares.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { withClient } from './local/client.ts';
import { migrate } from './local/migrate.ts';
import { fromRoot } from './local/project.ts';
import { withThrowaway } from './local/throwaway.ts';
import { readCatalogue } from './types/catalogue.ts';
import { renderClient } from './types/client.ts';
import { renderDatabase } from './types/database.ts';
import { format } from './types/format.ts';
import { renderStatements } from './types/statements.ts';

/** The generated files by name, from a database that holds the migration and nothing else. */
export async function generateTypes(url: string): Promise<Record<string, string>> {
  const catalogue = await withClient(url, readCatalogue);
  return {
    'types/database.ts': await format(await renderDatabase(url)),
    'types/client.ts': await format(renderClient(catalogue)),
    'types/statements.ts': await format(renderStatements(catalogue)),
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = await withThrowaway(async (server) => {
    const url = await server.create('types');
    await migrate(url);
    return generateTypes(url);
  });
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(fromRoot(name), content);
    console.log(`built ${name}`);
  }
}
