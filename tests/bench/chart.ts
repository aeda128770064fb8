/** The report as a picture for the README: bars of ratios, drawn as plain SVG. */
import { machineLine } from './machine.ts';
import type { Report, Section } from './throughput.ts';

const WIDTH = 860;
const NAMES = 330;
const BAR = 14;
const LINE = 22;
const HEAD = 34;

const escaped = (text: string) => text.replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

export function drawChart(report: Report): string {
  const shown = report.sections.filter((section) => section.rows.length > 1);
  const most = Math.max(1, ...shown.flatMap((section) => section.rows.map((row) => row.ratio)));
  const scale = (WIDTH - NAMES - 60) / most;
  let y = 40;
  const parts = shown.map((section) => {
    const part = drawSection(section, y, scale);
    y += HEAD + section.rows.length * LINE + 8;
    return part;
  });
  const height = y + 24;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="13" role="img" aria-label="Calls per second beside the first of each group">
<style>
  text { fill: #1f2328 } .quiet { fill: #656d76; font-size: 11px } .first { fill: #8c959f } .bar { fill: #2f81f7 } .one { stroke: #8c959f; stroke-dasharray: 3 3 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .quiet { fill: #8d96a0 } }
</style>
<text x="0" y="16" font-size="15" font-weight="600">Calls per second, beside the first of each group</text>
${parts.join('\n')}
<text class="quiet" x="0" y="${height - 8}">${escaped(machineLine(report.machine))}; driven by ${escaped(report.driver)}</text>
</svg>
`;
}

function drawSection({ title, rows }: Section, top: number, scale: number): string {
  const end = top + HEAD + rows.length * LINE - 6;
  const one = NAMES + scale;
  const bars = rows.map(({ name, ratio }, at) => {
    const y = top + HEAD + at * LINE;
    const length = Math.max(1, ratio * scale).toFixed(1);
    return (
      `<text x="${NAMES - 8}" y="${y + 11}" text-anchor="end">${escaped(shorten(name))}</text>` +
      `<rect class="${at === 0 ? 'first' : 'bar'}" x="${NAMES}" y="${y}" width="${length}" height="${BAR}" rx="2"/>` +
      `<text x="${NAMES + Number(length) + 6}" y="${y + 11}">${ratio.toFixed(2)}</text>`
    );
  });
  return [
    `<text x="0" y="${top + 16}" font-weight="600">${escaped(title)}</text>`,
    `<line class="one" x1="${one.toFixed(1)}" x2="${one.toFixed(1)}" y1="${top + HEAD - 6}" y2="${end}"/>`,
    ...bars,
  ].join('\n');
}

const shorten = (name: string) => (name.length > 50 ? `${name.slice(0, 49)}…` : name);
