/**
 * What lets a pgTAP suite be played where tables are spread, as it stands. Of the server it is played as the owner:
 * both are trusted, but what one role has written in a transaction no other may read there before its end. And a query
 * of one subject is carried out whole on the worker of that subject, is() with it, so the workers have what says the
 * same and counts nothing.
 */

const line = (passes: string) =>
  `language plpgsql as $$ begin return case when ${passes} then 'ok' else 'not ok' end || ' - ' || $3; end $$;`;

/** For the schema of pgTAP on each worker. */
export const TAP_OF_WORKERS = `
  create function extensions.is(anyelement, anyelement, text) returns text ${line('$1 is not distinct from $2')}
  create function extensions.isnt(anyelement, anyelement, text) returns text ${line('$1 is distinct from $2')}
  create function extensions.ok(boolean, text) returns text
  language plpgsql as $$ begin return case when $1 then 'ok' else 'not ok' end || ' - ' || $2; end $$;`;

/** Where it is refused at once, it has read nothing, and is played as the role. */
export const asOwner = (suite: string): string =>
  suite.replaceAll(/^set local role service_role;$(?!\nselect throws_ok)/gm, 'reset role;');

/** Lines of workers have no number: they are counted here. */
export const withoutNumbers = (tap: string): string => tap.replaceAll(/^((?:not )?ok) \d+/gm, '$1');
