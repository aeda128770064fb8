/** SQL comments as TSDoc. */

const WIDTH = 96;

/** "Text. Errors: QAMNT too large; 55P03 retry." as the text and its list. */
export function splitErrors(comment: string): { text: string; errors: string[] } {
  const [text = '', list] = comment.split(/\s*\bErrors: /);
  const errors = list?.replace(/\.$/, '').split(/;\s+/) ?? [];
  return { text, errors };
}

export const startsWithCode = (error: string) => /^[0-9A-Z]{5}\b/.test(error);

export function docBlock(paragraphs: string[], errors: string[] = []): string {
  const lines = paragraphs.flatMap((text, index) => [...(index ? [''] : []), ...wrap(text)]);
  if (errors.length) {
    lines.push('', '@throws UsageError with one of the codes');
    for (const error of errors)
      lines.push(...wrap(error.replace(/\b[0-9A-Z]{5}\b/g, '`$&`'), '- ', '  '));
  }
  if (lines.length === 1) return `/** ${lines[0]} */`;
  return ['/**', ...lines.map((line) => ` * ${line}`.trimEnd()), ' */'].join('\n');
}

function wrap(text: string, first = '', rest = ''): string[] {
  const lines: string[] = [];
  let line = first;
  for (const word of text.replaceAll('*/', '*\\/').split(/\s+/)) {
    if (line.trim() && line.trim() !== '-' && line.length + word.length >= WIDTH) {
      lines.push(line.trimEnd());
      line = rest;
    }
    line += `${word} `;
  }
  return [...lines, line.trimEnd()];
}
