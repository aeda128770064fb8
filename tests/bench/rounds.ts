/** Alternating rounds: a shared machine moves by a factor of three, so what is compared runs in turn. */
export interface Measured<T> {
  contender: T;
  figure: number;
  /** To the first contender, round by round. */
  ratio: number;
}

const median = (values: number[]) =>
  [...values].sort((a, b) => a - b)[values.length >> 1] as number;

export const shown = (figure: number) => figure.toFixed(figure < 10 ? 2 : 0);

/** Medians over the rounds; one more round before them is to warm up. */
export async function alternate<T extends { name: string }>(
  contenders: T[],
  rounds: number,
  unit: string,
  measure: (contender: T) => Promise<number>,
): Promise<Measured<T>[]> {
  const figures = contenders.map(() => [] as number[]);
  for (let round = 0; round <= rounds; round++) {
    for (const [at, contender] of contenders.entries()) {
      const figure = await measure(contender);
      if (round === 0) continue;
      figures[at]?.push(figure);
      console.log(`round ${round} of ${rounds}  ${contender.name}  ${shown(figure)}${unit}`);
    }
  }
  return contenders.map((contender, at) => ({
    contender,
    figure: median(figures[at] as number[]),
    ratio: median((figures[at] ?? []).map((one, round) => one / (figures[0]?.[round] as number))),
  }));
}
