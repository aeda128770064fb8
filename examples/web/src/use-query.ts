import { useCallback, useEffect, useState } from 'react';

/** Rows of a query, asked anew whenever `version` changes; the former rows stay until the answer. */
export function useQuery<Row>(
  ask: () => PromiseLike<{ data: Row[] | null; error: unknown }>,
  version: unknown,
): { rows: Row[] | null; failed: boolean; refresh(): void } {
  const [state, setState] = useState<{ rows: Row[] | null; failed: boolean }>({
    rows: null,
    failed: false,
  });
  const [asked, setAsked] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `ask` is new at each render, `version` says when it differs
  useEffect(() => {
    let wanted = true;
    ask().then(({ data, error }) => {
      if (wanted) setState((former) => ({ rows: error ? former.rows : data, failed: !!error }));
    });
    return () => {
      wanted = false;
    };
  }, [version, asked]);
  return { ...state, refresh: useCallback(() => setAsked((times) => times + 1), []) };
}
