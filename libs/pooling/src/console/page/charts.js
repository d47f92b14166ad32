import { make, setText } from './dom.js';
import { timeOfDay } from './text.js';

/** Seconds that a chart keeps. */
const KEPT_SECONDS = 600;
/** What a chart shows, in seconds: the shortest that holds what there is, so that a page just opened isn't empty. */
const WINDOWS = [120, 240, KEPT_SECONDS];
const HEIGHT = 132;
/** Steps of an axis that counts. */
const WHOLE_STEPS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000];

/**
 * @typedef {object} Series
 * @property {string} field the number it shows
 * @property {string} name
 * @property {string} colour the name of a custom property of the style sheet
 * @property {'area' | 'dashed' | 'bars'} [look] bars: of what happens now and then
 * @property {boolean} [seldom] named only when it has happened
 */

/**
 * @typedef {object} ChartOptions
 * @property {string} title
 * @property {readonly Series[]} series
 * @property {(value: number) => string} format
 * @property {boolean} [counts] whether its numbers are whole
 * @property {string} sync charts of one panel share their cursor
 */

/** @param {string} name */
function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The last minutes of some numbers, drawn by uPlot, with their values beside it: the latest, or those under the pointer. */
export class Chart {
  /** @type {HTMLElement} */
  element;
  /** @type {ChartOptions} */
  #options;
  /** @type {HTMLElement} */
  #canvas;
  #moment = make('span', { class: 'moment' });
  /** @type {{ item: HTMLElement, value: HTMLElement }[]} */
  #legend;
  /** @type {import('uplot') | undefined} */
  #plot;
  /** @type {number[][]} */
  #columns;
  /** Which second is pointed at. @type {number | undefined} */
  #pointedAt;
  #width = 0;

  /** @param {ChartOptions} options */
  constructor(options) {
    this.#options = options;
    this.#columns = [[], ...options.series.map(() => [])];
    this.#canvas = make('div', { class: 'plot', role: 'img', 'aria-label': options.title });
    this.#legend = options.series.map(({ name, look, colour, seldom }) => {
      const value = make('b');
      const swatch = make('span', { class: `swatch ${look ?? 'line'}`, 'data-colour': colour.slice(2) });
      return { value, item: make('li', { hidden: seldom === true }, swatch, `${name} `, value) };
    });
    this.element = make(
      'figure',
      { class: 'chart' },
      make('figcaption', {}, options.title, this.#moment),
      this.#canvas,
      make('ul', { class: 'legend' }, ...this.#legend.map(({ item }) => item)),
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
    if (times.length > KEPT_SECONDS) for (const column of this.#columns) column.shift();
    this.#show();
  }

  /** Draws with the colours of now. */
  recolour() {
    this.#plot?.destroy();
    this.#plot = undefined;
    this.#show();
  }

  #show() {
    for (const [index, { seldom }] of this.#options.series.entries()) {
      if (seldom !== true) continue;
      const item = /** @type {HTMLElement} */ (this.#legend[index]?.item);
      item.hidden = !(this.#columns[index + 1] ?? []).some((value) => value > 0);
    }
    this.#showValues();
    if (document.hidden || this.#width === 0) return;
    if (this.#plot === undefined) this.#draw();
    else this.#plot.setData(/** @type {import('uplot').AlignedData} */ (this.#columns));
  }

  #showValues() {
    const { series, format, title } = this.#options;
    const [times = []] = this.#columns;
    const at = this.#pointedAt ?? times.length - 1;
    const values = series.map((_each, index) => format(this.#columns[index + 1]?.[at] ?? 0));
    for (const [index, { value }] of this.#legend.entries()) setText(value, values[index] ?? '');
    const pointed = this.#pointedAt === undefined ? undefined : times[this.#pointedAt];
    setText(this.#moment, pointed === undefined ? '' : timeOfDay(pointed * 1000));
    if (pointed !== undefined) return;
    const words = series.map(({ name }, index) => `${name} ${values[index]}`);
    const shown = words.filter((_words, index) => this.#legend[index]?.item.hidden === false);
    this.#canvas.setAttribute('aria-label', `${title}, last ten minutes. Now: ${shown.join(', ')}`);
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
    const { format, sync, series, counts } = this.#options;
    this.#plot = new uPlot(
      {
        width: this.#width,
        height: HEIGHT,
        padding: [8, 16, 0, 0],
        legend: { show: false },
        cursor: { sync: { key: sync }, points: { size: 6 }, drag: { x: false, y: false } },
        hooks: {
          setCursor: [
            ({ cursor }) => {
              this.#pointedAt = cursor.idx ?? undefined;
              this.#showValues();
            },
          ],
        },
        scales: {
          x: { range: () => shownRange(this.#columns[0]) },
          y: { range: (_plot, _least, most) => [0, Math.max(1, (most ?? 0) * 1.1)] },
        },
        axes: [
          {
            ...axis,
            size: 24,
            splits: (_plot, _axis, from, to) => [from, (from + to) / 2, to],
            values: (_plot, [from = 0, middle = 0, to = 0]) => [ago(to - from), ago(to - middle), 'now'],
          },
          {
            ...axis,
            size: 52,
            space: 32,
            values: (_plot, splits) => splits.map((split) => format(split)),
            ...(counts === true ? { incrs: WHOLE_STEPS } : {}),
          },
        ],
        series: [
          {},
          ...series.map(({ name, colour, look }) => ({
            label: name,
            stroke: colourOf(colour),
            width: look === 'dashed' ? 1.25 : 1.75,
            points: { show: false },
            ...(look === 'dashed' ? { dash: [5, 4] } : {}),
            ...(look === 'area' ? { fill: `${colourOf(colour)}33` } : {}),
            ...(look === 'bars' ? { fill: colourOf(colour), width: 0, paths: bars() } : {}),
          })),
        ],
      },
      /** @type {import('uplot').AlignedData} */ (this.#columns),
      this.#canvas,
    );
  }
}

/** Bars that can be seen however many seconds are shown. */
function bars() {
  const paths = uPlot.paths.bars?.({ size: [0.8, Infinity, 2], align: -1 });
  if (paths === undefined) throw new Error('this uPlot has no bars');
  return paths;
}

/**
 * @param {readonly number[]} [times]
 * @returns {[number, number]}
 */
function shownRange(times = []) {
  const end = times.at(-1) ?? Date.now() / 1000;
  const there = end - (times[0] ?? end);
  return [end - (WINDOWS.find((seconds) => seconds >= there) ?? KEPT_SECONDS), end];
}

/** @param {number} seconds */
function ago(seconds) {
  return `−${Math.round(seconds / 60)} min`;
}
