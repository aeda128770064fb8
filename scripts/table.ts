/** Rows as aligned text: numbers to the right, null as a dash. */

export function formatTable(rows: Record<string, unknown>[], columns: string[]): string[] {
  const cells = rows.map((row) => columns.map((column) => String(row[column] ?? '–')));
  const right = columns.map((column) => rows.some((row) => typeof row[column] === 'number'));
  const widths = columns.map((column, i) =>
    Math.max(column.length, ...cells.map((line) => line[i]?.length ?? 0)),
  );
  const align = (line: string[]) =>
    line
      .map((text, i) => (right[i] ? text.padStart(widths[i] ?? 0) : text.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [align(columns), align(widths.map((width) => '─'.repeat(width))), ...cells.map(align)];
}
