/** A page that lists the newest traces and draws one of them: its spans under each other, along the time. */
export const PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Traces of the shop</title>
<link rel="icon" href="data:,">
<style>
  :root { color-scheme: light dark; font: 14px/1.45 system-ui, sans-serif; --line: color-mix(in srgb, CanvasText 15%, Canvas); }
  body { margin: 0; display: grid; grid-template-columns: 21rem 1fr; height: 100vh; }
  nav { border-right: 1px solid var(--line); overflow-y: auto; }
  nav a { display: grid; grid-template-columns: 1fr auto; gap: 0 1ex; padding: 0.45rem 1rem; color: inherit; text-decoration: none; border-bottom: 1px solid var(--line); }
  nav a[aria-current] { background: color-mix(in srgb, CanvasText 10%, Canvas); }
  nav small, .ms { opacity: 0.7; }
  main { overflow: auto; padding: 0.5rem 1.5rem 3rem; }
  h1 { font-size: 1.15rem; }
  .span { display: grid; grid-template-columns: 18rem 1fr 5.5rem; gap: 1rem; align-items: center; width: 100%; padding: 0.25rem 0; border: 0; background: none; color: inherit; font: inherit; text-align: left; cursor: pointer; }
  .span:hover { background: color-mix(in srgb, CanvasText 6%, Canvas); }
  .name { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
  .track { position: relative; height: 1.1rem; background: color-mix(in srgb, CanvasText 5%, Canvas); }
  .bar { position: absolute; inset: 0 auto 0 0; min-width: 2px; background: #4a7bd0; border-radius: 2px; }
  .server .bar { background: #8a8f98; } .acquire .bar { background: #d98324; } .transaction .bar { background: #7a5bb5; }
  .failed .bar { background: #c8413b; }
  .ms { text-align: right; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.1rem 1.5rem; margin: 0.25rem 0 0.75rem 1rem; padding-left: 1rem; border-left: 3px solid var(--line); }
  dt { opacity: 0.7; } dd { margin: 0; font-family: ui-monospace, monospace; font-size: 0.92em; overflow-wrap: anywhere; }
</style>
<nav aria-label="Newest traces"></nav>
<main><h1>Choose a trace</h1></main>
<script type="module">
  const nav = document.querySelector('nav');
  const main = document.querySelector('main');
  let traces = [];

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  const ms = (value) => (value < 10 ? value.toFixed(2) : Math.round(value)) + ' ms';
  const rootOf = ({ spans }) => spans.find((span) => !spans.some(({ id }) => id === span.parent)) ?? spans[0];

  function list() {
    nav.replaceChildren(...traces.map((trace) => {
      const root = rootOf(trace);
      const time = new Date(root.startsAt).toLocaleTimeString();
      const link = make('a', { href: '#' + trace.id }, make('span', {}, root.name), make('b', {}, ms(root.ms)),
        make('small', {}, time), make('small', {}, trace.spans.length + ' spans'));
      if (location.hash === '#' + trace.id) link.setAttribute('aria-current', 'true');
      return link;
    }));
  }

  function details(span) {
    const list = make('dl', {});
    const add = (name, value) => list.append(make('dt', {}, name), make('dd', {}, String(value)));
    for (const [name, value] of Object.entries(span.attributes)) add(name, value);
    for (const { name, at } of span.events) add('event after ' + ms(at - span.startsAt), name);
    for (const id of span.links) list.append(make('dt', {}, 'link'), make('dd', {}, make('a', { href: '#' + id }, id)));
    return list;
  }

  function draw(trace) {
    const root = rootOf(trace);
    const from = Math.min(...trace.spans.map(({ startsAt }) => startsAt));
    const whole = Math.max(...trace.spans.map(({ startsAt, ms }) => startsAt + ms)) - from;
    main.replaceChildren(make('h1', {}, root.name + ', ' + ms(root.ms)), make('p', { class: 'ms', style: 'text-align: left' }, 'trace ' + trace.id));
    const rows = (span, depth) => {
      const bar = make('span', { class: 'bar' });
      bar.style.left = (100 * (span.startsAt - from)) / whole + '%';
      bar.style.width = (100 * span.ms) / whole + '%';
      const kind = span.name.startsWith('acquire') ? 'acquire' : span.name === 'transaction' ? 'transaction' : span.kind;
      const name = make('span', { class: 'name', title: span.name }, span.name);
      name.style.paddingLeft = depth * 1.2 + 'rem';
      const row = make('button', { class: 'span ' + kind + (span.failed ? ' failed' : ''), 'aria-expanded': 'false' },
        name, make('span', { class: 'track' }, bar), make('span', { class: 'ms' }, ms(span.ms)));
      const more = details(span);
      const open = (shown) => { more.hidden = !shown; more.style.display = shown ? '' : 'none'; row.setAttribute('aria-expanded', shown); };
      open('nestjs_pooling.acquire.held_by' in span.attributes);
      row.addEventListener('click', () => open(more.hidden));
      main.append(row, more);
      const children = trace.spans.filter(({ parent }) => parent === span.id);
      for (const child of children.sort((one, other) => one.startsAt - other.startsAt)) rows(child, depth + 1);
    };
    rows(root, 0);
  }

  function show() {
    list();
    const trace = traces.find(({ id }) => location.hash === '#' + id);
    if (trace !== undefined) draw(trace);
  }

  async function load() {
    traces = await (await fetch('/traces/newest')).json();
    list();
  }

  addEventListener('hashchange', show);
  await load();
  show();
  setInterval(load, 2000);
</script>
</html>
`;
