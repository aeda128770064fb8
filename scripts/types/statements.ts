/** Writes types/statements.ts: what a client that speaks SQL itself must know of functions and views. */
import type { Catalogue, Routine } from './catalogue.ts';
import { fail, key, SCALARS } from './rules.ts';

export function renderStatements({ shapes, routines }: Catalogue): string {
  const views = shapes.filter(({ kind }) => kind === 'view');
  return [
    '// Generated from the SQL in sql/ by npm run build. Do not edit.',
    HEAD,
    'export const ROUTINES: Record<string, RoutineShape> = {',
    ...routines.map(
      (routine) =>
        `  ${routine.name}: { answer: '${answerOf(routine)}', parameters: {${typesOf(routine.parameters, `${routine.name}()`)}} },`,
    ),
    '};\n',
    '/** The columns of the views and their types. */',
    'export const VIEWS: Record<string, Record<string, string>> = {',
    ...views.map(({ name, fields }) => `  ${name}: {${typesOf(fields, `view ${name}`)}},`),
    '};',
    '',
  ].join('\n');
}

const HEAD = `
export interface RoutineShape {
  /** One value or object; many rows; none. */
  answer: 'one' | 'many' | 'none';
  /** The parameters and their SQL types. */
  parameters: Record<string, string>;
}
`;

const answerOf = ({ returns, returnsSet }: Routine) =>
  returns === 'void' ? 'none' : returnsSet ? 'many' : 'one';

function typesOf(fields: { name: string; type: string }[], where: string): string {
  return fields
    .map(({ name, type }) => {
      // They are written into statements as they are.
      if (!(type in SCALARS)) fail(`${where}, ${name}`, `is of type ${type}`);
      return `${key(name)}: '${type}'`;
    })
    .join(', ');
}
