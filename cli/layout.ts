/** Where things stand in the three kinds of project. */
export type Layout = 'supabase' | 'dbmate' | 'psql';

export const FOLDERS: Record<Layout, string> = {
  supabase: 'supabase/migrations',
  dbmate: 'db/migrations',
  psql: 'migrations',
};

export const PLANS = 'plans.json';
