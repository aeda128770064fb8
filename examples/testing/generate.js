/** The app: one answer of a model is one use, and a refusal is a page that offers more. */
export async function generate(pool, userId) {
  try {
    await pool.query(`select public.enforce_usage('ai_generation', subject => $1)`, [userId]);
  } catch (error) {
    if (error.code !== 'PT402' && error.code !== 'PT429') throw error;
    return { status: Number(error.code.slice(2)), upgradeUrl: error.hint ?? null };
  }
  return { status: 200, text: 'a generation' };
}
