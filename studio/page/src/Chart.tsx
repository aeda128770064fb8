/** Bars over time, drawn by uPlot; for who does not see a canvas, the same numbers as a table. */
import { useEffect, useRef, useState } from 'react';
import uPlot from 'uplot';
import { bucket, compact, number } from './format.ts';
import { useThemeVersion } from './theme.ts';

export interface Bar {
  from: string;
  /** null: not known yet. */
  value: number | null;
  note?: string | undefined;
}

export function Chart(props: {
  label: string;
  unit: 'hour' | 'day' | 'month';
  bars: Bar[];
  height?: number;
  limit?: number | null | undefined;
}) {
  const { bars, unit, height = 120, limit } = props;
  const place = useRef<HTMLDivElement>(null);
  const [over, setOver] = useState<number | null>(null);
  const theme = useThemeVersion();
  const data = JSON.stringify(bars.map(({ value }) => value));

  // biome-ignore lint/correctness/useExhaustiveDependencies: drawn anew when the numbers or the colours differ
  useEffect(() => {
    const element = place.current;
    if (!element) return;
    const style = getComputedStyle(element);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const values = bars.map(({ value }) => value);
    const most = niceAbove(Math.max(1, limit ?? 0, ...values.map((value) => value ?? 0)));
    const options: uPlot.Options = {
      width: element.clientWidth,
      height,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: [-0.6, bars.length - 0.4] },
        y: { range: [0, most] },
      },
      axes: [
        {
          stroke: colour('--quiet'),
          font: '11px system-ui',
          size: 20,
          gap: 2,
          ticks: { show: false },
          grid: { show: false },
          splits: () => [0, Math.floor(bars.length / 2), bars.length - 1],
          values: (_, splits) => splits.map((n) => bucket(bars[n]?.from ?? '', unit)),
        },
        {
          stroke: colour('--quiet'),
          font: '11px system-ui',
          size: 42,
          gap: 4,
          ticks: { show: false },
          grid: { stroke: colour('--line'), width: 1 },
          splits: () => [0, most / 2, most].filter((_, n) => n !== 1 || most >= 4),
          // 0 stands where the first time stands.
          values: (_, splits) => splits.map((value) => (value ? compact(Math.round(value)) : '')),
        },
      ],
      series: [
        {},
        {
          fill: colour('--accent-bar'),
          stroke: 'transparent',
          width: 0,
          paths: uPlot.paths.bars?.({ size: [0.72, 40], radius: 0.12 }) as uPlot.Series.PathBuilder,
          points: { show: false },
        },
      ],
      hooks: {
        setCursor: [(plot) => setOver(plot.cursor.idx ?? null)],
        draw: limit
          ? [
              (plot) => {
                const y = plot.valToPos(limit, 'y', true);
                plot.ctx.save();
                plot.ctx.strokeStyle = colour('--bad');
                plot.ctx.setLineDash([4, 4]);
                plot.ctx.beginPath();
                plot.ctx.moveTo(plot.bbox.left, y);
                plot.ctx.lineTo(plot.bbox.left + plot.bbox.width, y);
                plot.ctx.stroke();
                plot.ctx.restore();
              },
            ]
          : [],
      },
    };
    const plot = new uPlot(options, [bars.map((_, n) => n), values], element);
    const sized = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height }));
    sized.observe(element);
    return () => {
      sized.disconnect();
      plot.destroy();
    };
  }, [data, unit, height, limit, theme, bars.length]);

  const shown = over === null ? undefined : bars[over];
  return (
    <figure className="chart">
      <div ref={place} className="chart-canvas" style={{ blockSize: height }} aria-hidden />
      <figcaption className="chart-over" aria-hidden>
        {shown
          ? `${bucket(shown.from, unit)}: ${shown.value === null ? 'not read yet' : number(shown.value)}${shown.note ? `, ${shown.note}` : ''}`
          : '\u00a0'}
      </figcaption>
      <div className="hidden">
        <table>
          <caption>{props.label}</caption>
          <tbody>
            {bars.map(({ from, value }) => (
              <tr key={from}>
                <th scope="row">{bucket(from, unit)}</th>
                <td>{value === null ? 'not read yet' : value}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </figure>
  );
}

/** The next number that is read at a glance, also its half. */
function niceAbove(value: number): number {
  const unit = 10 ** Math.floor(Math.log10(value));
  return (
    ([1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10].find((step) => step * unit >= value) ?? 10) * unit
  );
}
