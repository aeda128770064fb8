/** A decision is yes or no. What is neither is no answer: nobody may take it for one of the two. */
import { UsageError } from './errors.ts';

export function decided<Answer>(name: string, answer: Answer): Answer {
  for (const decision of [answer].flat() as { allowed?: unknown }[]) {
    if (typeof decision?.allowed === 'boolean') continue;
    throw new UsageError({
      message: `${name} answered neither yes nor no: ${JSON.stringify(decision)?.slice(0, 200)}`,
      hint: `npx pgquota doctor says whether public.${name}() is that of pgquota`,
      status: 0,
    });
  }
  return answer;
}
