import { make, setText } from './dom.js';
import { duration, number } from './text.js';

/** @typedef {import('../../advice/load.js').PoolLoad} PoolLoad */

/** How long to wait for the next keystroke, in milliseconds. */
const PAUSE_MS = 250;

/** Which pool a load calls for: fed by live figures until somebody types. */
export class Calculator {
  /** @type {HTMLElement} */
  element;
  /** @type {HTMLInputElement} */
  #rate;
  /** @type {HTMLInputElement} */
  #use;
  /** @type {HTMLInputElement} */
  #target;
  /** @type {HTMLElement} */
  #answer = make('p', { class: 'answer', role: 'status' }, 'Waiting for live figures…');
  #live = true;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pause;
  #asked = '';

  constructor() {
    this.#rate = this.#input('0', 'any');
    this.#use = this.#input('0', 'any');
    this.#target = this.#input('10', 'any');
    const follow = () => {
      this.#live = true;
      setText(this.#answer, 'Taking the live figures…');
    };
    this.element = make(
      'details',
      { class: 'fold' },
      make('summary', {}, 'Sizing calculator'),
      make(
        'div',
        { class: 'calculator' },
        make('label', { class: 'field' }, 'Acquires a second', this.#rate),
        make('label', { class: 'field' }, 'Mean time in use, ms', this.#use),
        make('label', { class: 'field' }, 'Longest wait (p99), ms', this.#target),
        make('button', { type: 'button', class: 'quiet', click: follow }, 'Use live figures'),
      ),
      this.#answer,
    );
  }

  /**
   * @param {string} value
   * @param {string} step
   */
  #input(value, step) {
    const typed = () => {
      this.#live = false;
      this.#askSoon();
    };
    return make('input', { type: 'number', min: '0', step, value, input: typed });
  }

  /** @param {PoolLoad | undefined} load */
  update(load) {
    if (!this.#live || load === undefined) return;
    this.#rate.value = String(Math.round(load.acquiresPerSecond * 10) / 10);
    this.#use.value = String(Math.round(load.meanUseMs * 100) / 100);
    this.#askSoon();
  }

  #askSoon() {
    clearTimeout(this.#pause);
    this.#pause = setTimeout(() => void this.#ask(), PAUSE_MS);
  }

  async #ask() {
    const url = new URL('size', import.meta.url);
    url.search = new URLSearchParams({
      acquiresPerSecond: this.#rate.value,
      meanUseMs: this.#use.value,
      waitTargetMs: this.#target.value,
    }).toString();
    if (url.href === this.#asked || !(/** @type {HTMLDetailsElement} */ (this.element).open)) return;
    this.#asked = url.href;
    try {
      const size = await (await fetch(url)).json();
      if (typeof size.problem === 'string') return setText(this.#answer, size.problem);
      setText(
        this.#answer,
        `${number(size.size)} ${size.size === 1 ? 'connection' : 'connections'}: ${number(size.meanInUse)} in use on average ` +
          `(${Math.round(size.utilisation * 100)} %), ${Math.round(size.waitProbability * 100)} % of acquires wait, p99 ${duration(size.waitMs)}.`,
      );
    } catch {
      this.#asked = '';
    }
  }
}
