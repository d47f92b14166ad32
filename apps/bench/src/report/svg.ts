import { figure } from './format.js';

const FONT = 'font-family="system-ui, sans-serif" font-size="12"';
const INK = '#1f2937';
const FAINT = '#d1d5db';
const OWN = '#2563eb';
const OTHER = '#9ca3af';
const LINES = ['#2563eb', '#dc2626', '#059669', '#d97706', '#7c3aed', '#0891b2'];

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function text(x: number, y: number, content: string, attributes = ''): string {
  return `<text x="${x}" y="${y}" ${FONT} fill="${INK}" ${attributes}>${escaped(content)}</text>`;
}

function svg(width: number, height: number, title: string, body: readonly string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(12, 22, title, 'font-weight="600"'),
    ...body,
    '</svg>',
  ].join('\n');
}

/** One bar; `low` and `high` draw its spread. */
export interface Bar {
  readonly label: string;
  readonly value: number;
  readonly low: number;
  readonly high: number;
  /** Whether it is this library's. */
  readonly own: boolean;
}

/** Horizontal bars with their spread, the longest first. */
export function barChart(title: string, unit: string, bars: readonly Bar[]): string {
  const [left, right, top, step, width] = [190, 70, 40, 22, 720];
  const largest = Math.max(...bars.map(({ high, value }) => Math.max(high, value)));
  const scale = (value: number): number => Math.round((value / largest) * (width - left - right) * 10) / 10;
  const body = bars
    .toSorted((one, other) => other.value - one.value)
    .flatMap(({ label, value, low, high, own }, index) => {
      const y = top + index * step;
      const middle = y + 7;
      return [
        text(left - 8, y + 11, label, 'text-anchor="end"'),
        `<rect x="${left}" y="${y}" width="${scale(value)}" height="14" fill="${own ? OWN : OTHER}"/>`,
        `<path d="M${left + scale(low)} ${middle}H${left + scale(high)}" stroke="${INK}"/>`,
        text(left + scale(Math.max(value, high)) + 6, y + 11, `${figure(value)}${unit}`),
      ];
    });
  return svg(width, top + bars.length * step + 12, title, body);
}

/** One line of a chart, from left to right. */
export interface Line {
  readonly label: string;
  readonly points: readonly { readonly x: number; readonly y: number }[];
}

function powersOfTen(lowest: number, highest: number): number[] {
  const first = Math.floor(Math.log10(lowest));
  const last = Math.ceil(Math.log10(highest));
  return Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index));
}

/** Lines over two logarithmic axes; every coordinate must be above 0. */
export function lineChart(title: string, xTitle: string, yTitle: string, lines: readonly Line[]): string {
  const [left, right, top, bottom, width, height] = [70, 170, 40, 50, 720, 380];
  const points = lines.flatMap((line) => line.points);
  const xTicks = powersOfTen(Math.min(...points.map(({ x }) => x)), Math.max(...points.map(({ x }) => x)));
  const yTicks = powersOfTen(Math.min(...points.map(({ y }) => y)), Math.max(...points.map(({ y }) => y)));
  const place = (value: number, ticks: readonly number[], from: number, to: number): number => {
    const [first, last] = [Math.log10(ticks[0] as number), Math.log10(ticks.at(-1) as number)];
    const share = last === first ? 0.5 : (Math.log10(value) - first) / (last - first);
    return Math.round((from + share * (to - from)) * 10) / 10;
  };
  const x = (value: number): number => place(value, xTicks, left, width - right);
  const y = (value: number): number => place(value, yTicks, height - bottom, top);
  const body = [
    ...xTicks.map((tick) => `<path d="M${x(tick)} ${top}V${height - bottom}" stroke="${FAINT}"/>`),
    ...yTicks.map((tick) => `<path d="M${left} ${y(tick)}H${width - right}" stroke="${FAINT}"/>`),
    ...xTicks.map((tick) => text(x(tick), height - bottom + 18, tick.toLocaleString('en'), 'text-anchor="middle"')),
    ...yTicks.map((tick) => text(left - 8, y(tick) + 4, tick.toLocaleString('en'), 'text-anchor="end"')),
    text((left + width - right) / 2, height - 12, xTitle, 'text-anchor="middle"'),
    text(12, top - 6, yTitle),
  ];
  const drawn = lines.flatMap((line, index) => {
    const colour = LINES[index % LINES.length] as string;
    const path = line.points.map((point, at) => `${at === 0 ? 'M' : 'L'}${x(point.x)} ${y(point.y)}`).join('');
    return [
      `<path d="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
      ...line.points.map((point) => `<circle cx="${x(point.x)}" cy="${y(point.y)}" r="3" fill="${colour}"/>`),
      `<rect x="${width - right + 12}" y="${top + index * 20}" width="12" height="12" fill="${colour}"/>`,
      text(width - right + 30, top + index * 20 + 11, line.label),
    ];
  });
  return svg(width, height, title, [...body, ...drawn]);
}
