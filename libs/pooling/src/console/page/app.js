import { DatabasePanel } from './database-panel.js';
import { byId, keepInStep, make, setAttribute, setText } from './dom.js';
import { addEvents, replaceEvents, startEvents } from './events.js';
import { HttpPanel } from './http-panel.js';
import { dateAndTime } from './text.js';
import { startTheme } from './theme.js';

/** @typedef {import('../../advice/advice.js').Advice} Advice */
/** @typedef {import('../pool-events.js').PoolEvent} PoolEvent */
/** @typedef {import('./database-panel.js').DatabaseNews} DatabaseNews */
/** @typedef {import('./http-panel.js').HttpNews} HttpNews */

/**
 * @typedef {object} News what comes each second
 * @property {readonly DatabaseNews[]} databases
 * @property {readonly HttpNews[]} httpClients
 * @property {readonly Advice[]} advice
 * @property {readonly PoolEvent[]} events
 */

/**
 * @template Each
 * @typedef {{ databases: readonly Each[], httpClients: readonly Each[] }} OfBoth
 */

/** @typedef {{ name: string, configuration: Record<string, unknown> }} Configured */
/** @typedef {{ name: string, count: number, columns: Record<string, number[]> }} Recorded */

/**
 * @typedef {News & {
 *   instance: { host: string, process: number, startedAt: number },
 *   allowedActions: readonly import('../console-options.js').ConsoleAction[],
 *   configurations: OfBoth<Configured>,
 *   histories: OfBoth<Recorded>,
 * }} Hello what comes first, and again after each lost connection
 */

/** After this long without news the page says so, in milliseconds. */
const SILENCE_MS = 4_000;
/** A stream that the browser has given up is asked for again after this, in milliseconds. */
const RETRY_MS = 2_000;

/** @type {Map<string, DatabasePanel>} */
const databases = new Map();
/** @type {Map<string, HttpPanel>} */
const httpClients = new Map();
/** @type {Map<string, HTMLLIElement>} */
const adviceRows = new Map();
/** @type {ReturnType<typeof setTimeout> | undefined} */
let silence;

/**
 * @param {'live' | 'lost' | 'connecting'} state
 * @param {string} text
 */
function showConnection(state, text) {
  const connection = byId('connection');
  connection.dataset['state'] = state;
  setText(connection, text);
}

function alive() {
  showConnection('live', 'Live');
  clearTimeout(silence);
  silence = setTimeout(() => showConnection('lost', 'No news, reconnecting…'), SILENCE_MS);
}

/** @param {readonly Advice[]} advice */
function showAdvice(advice) {
  byId('advice').dataset['state'] = advice.length === 0 ? 'none' : 'some';
  /** @type {readonly (Advice | undefined)[]} */
  const items = advice.length === 0 ? [undefined] : advice;
  keepInStep(
    byId('advice-list'),
    adviceRows,
    items,
    (item) => (item === undefined ? 'none' : `${item.code} ${item.pool}`),
    () => make('li', {}, make('span', { class: 'tag' }), make('span'), make('code')),
    (row, item) => {
      const [severity, text, code] = row.children;
      setAttribute(row, 'data-severity', item?.severity ?? 'none');
      setText(/** @type {Element} */ (severity), item?.severity ?? 'ok');
      setText(/** @type {Element} */ (text), item?.message ?? 'Nothing to report.');
      setText(/** @type {Element} */ (code), item?.code ?? '');
    },
  );
}

/** @param {News} news */
function show({ databases: ofDatabases, httpClients: ofClients, advice }) {
  for (const news of ofDatabases) databases.get(news.name)?.update(news);
  for (const news of ofClients) httpClients.get(news.name)?.update(news);
  showAdvice(advice);
  const waiting = ofDatabases.reduce((sum, { statistics }) => sum + statistics.waiting, 0);
  document.title = waiting > 0 ? `(${waiting} waiting) Pools` : 'Pools';
}

/** @param {Hello} hello */
function start(hello) {
  const { host, process, startedAt } = hello.instance;
  setText(byId('instance'), `${host}, process ${process}, started ${dateAndTime(startedAt)}`);
  for (const { name } of hello.databases) {
    if (!databases.has(name)) addPanel(databases, name, 'database', new DatabasePanel(name, hello.allowedActions));
  }
  for (const { name } of hello.httpClients) {
    if (!httpClients.has(name)) addPanel(httpClients, name, 'HTTP', new HttpPanel(name));
  }
  for (const { name, configuration } of hello.configurations.databases) databases.get(name)?.configure(configuration);
  for (const { name, configuration } of hello.configurations.httpClients)
    httpClients.get(name)?.configure(configuration);
  for (const { name, columns } of hello.histories.databases) databases.get(name)?.load(columns['at'] ?? [], columns);
  for (const { name, columns } of hello.histories.httpClients)
    httpClients.get(name)?.load(columns['at'] ?? [], columns);
  replaceEvents(hello.events);
  show(hello);
}

/**
 * @template {{ element: HTMLElement }} Panel
 * @param {Map<string, Panel>} panels
 * @param {string} name
 * @param {string} kind
 * @param {Panel} panel
 */
function addPanel(panels, name, kind, panel) {
  panels.set(name, panel);
  byId('panels').append(panel.element);
  const title = panel.element.querySelector('h2');
  const contents = byId('contents');
  contents.append(make('a', { href: `#${title?.id ?? ''}` }, `${name} (${kind})`));
  contents.hidden = contents.childElementCount < 2;
}

function connect() {
  const stream = new EventSource(new URL('events', import.meta.url));
  stream.addEventListener('hello', (event) => {
    alive();
    start(JSON.parse(event.data));
  });
  stream.addEventListener('tick', (event) => {
    alive();
    /** @type {News} */
    const news = JSON.parse(event.data);
    addEvents(news.events);
    show(news);
  });
  stream.addEventListener('error', () => {
    clearTimeout(silence);
    showConnection('lost', 'Connection lost, reconnecting…');
    // The browser comes back by itself, except when it was answered with an error.
    if (stream.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
  });
}

startTheme(byId('theme'), () => {
  for (const panel of [...databases.values(), ...httpClients.values()]) panel.recolour();
});
startEvents();
connect();
