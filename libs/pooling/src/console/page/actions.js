import { byId, make, setText } from './dom.js';

/** @typedef {import('../console-options.js').ConsoleAction} ConsoleAction */
/** @typedef {Record<string, string | number>} Order */

/** @type {ReturnType<typeof setTimeout> | undefined} */
let fading;

/**
 * Tells what became of an order.
 *
 * @param {string} text
 * @param {boolean} failed
 */
function notify(text, failed) {
  const notice = byId('notice');
  setText(notice, text);
  notice.dataset['state'] = failed ? 'failed' : 'done';
  clearTimeout(fading);
  fading = setTimeout(() => setText(notice, ''), 8_000);
}

/**
 * Sends an order to the application.
 *
 * @param {Order} order
 */
export async function send(order) {
  try {
    const answer = await fetch(new URL('actions', import.meta.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-pool-console': '1' },
      body: JSON.stringify(order),
    });
    const body = await answer.json();
    notify(answer.ok ? body.done : `Refused: ${body.message ?? answer.statusText}`, !answer.ok);
  } catch (error) {
    notify(`Not sent: ${error instanceof Error ? error.message : String(error)}`, true);
  }
}

/**
 * Asks before something is done; resolves with the fields' numbers, or with nothing when it is called off.
 *
 * @param {object} question
 * @param {string} question.title
 * @param {string} question.text
 * @param {string} question.confirm what the button says
 * @param {boolean} [question.danger]
 * @param {readonly { name: string, label: string, value: number, least: number }[]} [question.fields]
 * @returns {Promise<Record<string, number> | undefined>}
 */
export function ask({ title, text, confirm, danger = false, fields = [] }) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('dialog'));
  const inputs = fields.map(({ name, value, least }) =>
    make('input', { type: 'number', name, value, min: least, max: 10_000, step: 1, required: true }),
  );
  return new Promise((resolve) => {
    /** @type {Record<string, number> | undefined} */
    let result;
    /** @param {Event} event */
    const submit = (event) => {
      event.preventDefault();
      result = Object.fromEntries(inputs.map((input) => [input.name, input.valueAsNumber]));
      dialog.close();
    };
    const form = make(
      'form',
      { submit },
      make('h2', { id: 'dialog-title' }, title),
      make('p', {}, text),
      ...inputs.map((input, index) => make('label', { class: 'field' }, fields[index]?.label ?? '', input)),
      make(
        'div',
        { class: 'buttons' },
        make('button', { type: 'button', class: 'quiet', click: () => dialog.close() }, 'Cancel'),
        make('button', { type: 'submit', class: danger ? 'danger' : 'primary' }, confirm),
      ),
    );
    dialog.replaceChildren(form);
    dialog.addEventListener('close', () => resolve(result), { once: true });
    dialog.showModal();
  });
}

/** The buttons for what may be done to a pool. */
export class PoolActions {
  /** @type {HTMLElement} */
  element;
  /** @type {Map<string, HTMLButtonElement>} */
  #buttons;

  /**
   * @param {string} pool
   * @param {readonly ConsoleAction[]} allowed
   * @param {() => { size: number, maxOverflow: number }} bounds those in force
   */
  constructor(pool, allowed, bounds) {
    /** @type {readonly [Exclude<ConsoleAction, 'terminate'>, string, () => Promise<void>][]} */
    const actions = [
      ['resize', 'Resize…', () => resize(pool, bounds())],
      ['expireAll', 'Expire all…', () => expireAll(pool)],
      ['suspend', 'Suspend…', () => suspend(pool)],
      ['resume', 'Resume', () => send({ action: 'resume', pool })],
    ];
    this.#buttons = new Map(
      actions
        .filter(([action]) => allowed.includes(action))
        .map(([action, text, press]) => [
          action,
          make('button', { type: 'button', class: 'quiet', 'data-action': action, click: () => void press() }, text),
        ]),
    );
    const label = `Actions on ${pool}`;
    this.element = make('div', { class: 'buttons', role: 'group', 'aria-label': label }, ...this.#buttons.values());
  }

  /**
   * Offers what makes sense in a state.
   *
   * @param {string} state
   */
  update(state) {
    const [offered, other] = state === 'suspended' ? ['resume', 'suspend'] : ['suspend', 'resume'];
    const [shown, hidden] = [this.#buttons.get(offered), this.#buttons.get(other)];
    const focused = hidden !== undefined && document.activeElement === hidden;
    if (shown !== undefined) shown.hidden = false;
    if (focused) shown?.focus();
    if (hidden !== undefined) hidden.hidden = true;
  }
}

/**
 * @param {string} pool
 * @param {{ size: number, maxOverflow: number }} bounds
 */
async function resize(pool, bounds) {
  const chosen = await ask({
    title: `Resize ${pool}`,
    text: 'Holds until the application starts again. What is too much is closed when it is next idle.',
    confirm: 'Resize',
    fields: [
      { name: 'size', label: 'Size', value: bounds.size, least: 1 },
      { name: 'maxOverflow', label: 'Overflow', value: bounds.maxOverflow, least: 0 },
    ],
  });
  if (chosen !== undefined) await send({ action: 'resize', pool, ...chosen });
}

/** @param {string} pool */
async function expireAll(pool) {
  const confirmed = await ask({
    title: `Expire all connections of ${pool}`,
    text: 'Each is replaced when it is next idle; nothing that runs is disturbed.',
    confirm: 'Expire all',
  });
  if (confirmed !== undefined) await send({ action: 'expireAll', pool });
}

/** @param {string} pool */
async function suspend(pool) {
  const confirmed = await ask({
    title: `Suspend ${pool}`,
    text: 'Nobody gets a connection until it is resumed; acquires wait, and fail at their deadline.',
    confirm: 'Suspend',
    danger: true,
  });
  if (confirmed !== undefined) await send({ action: 'suspend', pool });
}

/**
 * @param {string} pool
 * @param {number} connection
 */
export async function terminate(pool, connection) {
  const confirmed = await ask({
    title: `Terminate connection ${connection} of ${pool}`,
    text: 'It is taken from its holder and closed: what runs on it fails, and an open transaction is rolled back.',
    confirm: 'Terminate',
    danger: true,
  });
  if (confirmed !== undefined) await send({ action: 'terminate', pool, connection });
}
