import { make, setText } from './dom.js';

/** Seconds that a chart shows. */
const SHOWN_SECONDS = 600;
const LEAST_SECONDS = 120;
const HEIGHT = 132;

/**
 * @typedef {object} Series
 * @property {string} field the number it shows
 * @property {string} name
 * @property {string} colour the name of a custom property of the style sheet
 * @property {'area' | 'dashed'} [look]
 */

/**
 * @typedef {object} ChartOptions
 * @property {string} title
 * @property {readonly Series[]} series
 * @property {(value: number) => string} format
 * @property {string} sync charts of one panel share their cursor
 */

/** @param {string} name */
function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The last ten minutes of some numbers, drawn by uPlot, with their latest values beside it in words. */
export class Chart {
  /** @type {HTMLElement} */
  element;
  /** @type {ChartOptions} */
  #options;
  /** @type {HTMLElement} */
  #canvas;
  /** @type {HTMLElement[]} */
  #values;
  /** @type {import('uplot') | undefined} */
  #plot;
  /** @type {number[][]} */
  #columns;
  #width = 0;

  /** @param {ChartOptions} options */
  constructor(options) {
    this.#options = options;
    this.#columns = [[], ...options.series.map(() => [])];
    this.#values = options.series.map(() => make('b', {}));
    this.#canvas = make('div', { class: 'plot', role: 'img', 'aria-label': options.title });
    const legend = options.series.map(({ name, look, colour }, index) =>
      make(
        'li',
        {},
        make('span', { class: `swatch ${look ?? 'line'}`, 'data-colour': colour.slice(2) }),
        `${name} `,
        /** @type {HTMLElement} */ (this.#values[index]),
      ),
    );
    this.element = make(
      'figure',
      { class: 'chart' },
      make('figcaption', {}, options.title),
      this.#canvas,
      make('ul', { class: 'legend' }, ...legend),
    );
    new ResizeObserver(() => this.#resize()).observe(this.#canvas);
  }

  /**
   * Replaces everything that is shown.
   *
   * @param {readonly number[]} times milliseconds since 1970
   * @param {(field: string) => readonly number[] | undefined} columnOf left out when it is all zeros
   */
  load(times, columnOf) {
    this.#columns = [
      times.map((at) => at / 1000),
      ...this.#options.series.map(({ field }) => [...(columnOf(field) ?? times.map(() => 0))]),
    ];
    this.#show();
  }

  /**
   * Adds one second.
   *
   * @param {Readonly<Record<string, number>>} sample
   */
  push(sample) {
    const [times, ...columns] = this.#columns;
    if (times === undefined) return;
    const at = (sample['at'] ?? 0) / 1000;
    if (at <= (times.at(-1) ?? 0)) return;
    times.push(at);
    for (const [index, { field }] of this.#options.series.entries()) columns[index]?.push(sample[field] ?? 0);
    if (times.length > SHOWN_SECONDS) for (const column of this.#columns) column.shift();
    this.#show();
  }

  /** Draws with the colours of now. */
  recolour() {
    this.#plot?.destroy();
    this.#plot = undefined;
    this.#show();
  }

  #show() {
    const { series, format, title } = this.#options;
    const latest = series.map((_each, index) => this.#columns[index + 1]?.at(-1) ?? 0);
    for (const [index, value] of this.#values.entries()) setText(value, format(latest[index] ?? 0));
    const words = series.map(({ name }, index) => `${name} ${format(latest[index] ?? 0)}`);
    this.#canvas.setAttribute('aria-label', `${title}, last ten minutes. Now: ${words.join(', ')}`);
    if (document.hidden || this.#width === 0) return;
    if (this.#plot === undefined) this.#draw();
    else this.#plot.setData(/** @type {import('uplot').AlignedData} */ (this.#columns));
  }

  #resize() {
    const width = Math.floor(this.#canvas.clientWidth);
    if (width === this.#width || width === 0) return;
    this.#width = width;
    if (this.#plot === undefined) this.#show();
    else this.#plot.setSize({ width, height: HEIGHT });
  }

  #draw() {
    const grid = { stroke: colourOf('--grid'), width: 1 };
    const axis = { stroke: colourOf('--muted'), font: '11px system-ui, sans-serif', grid, ticks: { show: false } };
    const { format, sync, series } = this.#options;
    this.#plot = new uPlot(
      {
        width: this.#width,
        height: HEIGHT,
        padding: [8, 8, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: sync }, points: { size: 6 }, drag: { x: false, y: false } },
        scales: {
          x: { range: () => shownRange(this.#columns[0]) },
          y: { range: (_plot, _least, most) => [0, Math.max(1, (most ?? 0) * 1.1)] },
        },
        axes: [
          { ...axis, size: 24, space: 70, values: (_plot, splits) => splits.map(clockTime) },
          { ...axis, size: 52, space: 32, values: (_plot, splits) => splits.map((split) => format(split)) },
        ],
        series: [
          {},
          ...series.map(({ name, colour, look }) => ({
            label: name,
            stroke: colourOf(colour),
            width: look === 'dashed' ? 1 : 1.75,
            points: { show: false },
            ...(look === 'dashed' ? { dash: [5, 4] } : {}),
            ...(look === 'area' ? { fill: `${colourOf(colour)}33` } : {}),
          })),
        ],
      },
      /** @type {import('uplot').AlignedData} */ (this.#columns),
      this.#canvas,
    );
  }
}

/**
 * What there is, and two minutes at least: a page that was just opened shows something.
 *
 * @param {readonly number[]} [times]
 * @returns {[number, number]}
 */
function shownRange(times = []) {
  const end = times.at(-1) ?? Date.now() / 1000;
  return [Math.min(times[0] ?? end, end - LEAST_SECONDS), end];
}

/** @param {number} at seconds since 1970 */
function clockTime(at) {
  const date = new Date(at * 1000);
  return `${String(date.getHours()).padStart(2, '0')}:${String(date.getMinutes()).padStart(2, '0')}`;
}
