import { byId, make } from './dom.js';
import { timeOfDay } from './text.js';

/** @typedef {import('../pool-events.js').PoolEvent} PoolEvent */

/** Events that are shown. */
const SHOWN = 200;

/** @type {Readonly<Record<PoolEvent['kind'], string>>} */
const NAMES = {
  opened: 'opened',
  closed: 'closed',
  failed: 'failed',
  timeout: 'time-out',
  leak: 'leak',
  state: 'state',
};

/** @param {PoolEvent} event */
function row(event) {
  return make(
    'li',
    { 'data-kind': event.kind, 'data-routine': event.routine === true },
    make('time', { datetime: new Date(event.at).toISOString() }, timeOfDay(event.at)),
    make('span', { class: 'tag', 'data-kind': event.kind }, NAMES[event.kind]),
    make('b', {}, event.pool),
    make('span', {}, event.text),
  );
}

/**
 * Adds events to the list, the newest on top.
 *
 * @param {readonly PoolEvent[]} events oldest first
 */
export function addEvents(events) {
  const list = byId('events');
  if (events.some((event) => event.routine !== true)) list.querySelector('.empty')?.remove();
  for (const event of events) list.prepend(row(event));
  while (list.childElementCount > SHOWN) list.lastElementChild?.remove();
}

/** Lets the checkbox show and hide what happens all the time. */
export function startEvents() {
  const routine = byId('routine');
  routine.addEventListener('change', () => {
    byId('events').toggleAttribute('data-routine', /** @type {HTMLInputElement} */ (routine).checked);
  });
}

/**
 * Shows these events only.
 *
 * @param {readonly PoolEvent[]} events oldest first
 */
export function replaceEvents(events) {
  byId('events').replaceChildren(make('li', { class: 'empty' }, 'Nothing so far.'));
  addEvents(events);
}
