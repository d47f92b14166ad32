/**
 * Wrappers of `pg.Client.prototype.query` as tracers write them; `TRACER_OPTIONS` says which.
 * Leaves `globalThis.tracer`: `{ run(name, fn), spans() }`.
 */
const { AsyncLocalStorage } = require('node:async_hooks');
const { Client } = require('pg');

const caller = new AsyncLocalStorage();
const all = [];

function begin(text) {
  const startedAt = performance.now();
  const span = { parent: caller.getStore(), name: 'query', text, failed: false, ended: false, ms: 0 };
  all.push(span);
  return (error) => {
    if (span.ended) span.name = 'ended twice';
    Object.assign(span, { failed: Boolean(error), ended: true, ms: performance.now() - startedAt });
  };
}

const textOf = (config) => (typeof config === 'string' ? config : config.text);
/** A cursor or a stream: copies of them can do nothing, with any pool. */
const isOfItsOwn = (config) => typeof config.submit === 'function' && !Object.keys(config).includes('submit');
const hearing = (end, callback) =>
  function (error, result) {
    end(error);
    return callback.call(this, error, result);
  };

function endWithResult(result, end) {
  if (typeof result?.then === 'function') result.then(() => end(), end);
  else if (typeof result?.on === 'function') result.on('error', end).on('end', () => end());
}

const wrappers = {
  /** The last argument that is a function, or what is returned. */
  argument: (original) =>
    function (...parameters) {
      const end = begin(textOf(parameters[0]));
      const last = parameters.length - 1;
      if (typeof parameters[last] === 'function') {
        parameters[last] = hearing(end, parameters[last]);
        return original.apply(this, parameters);
      }
      const result = original.apply(this, parameters);
      endWithResult(result, end);
      return result;
    },
  /** AWS X-Ray's way: always three arguments. */
  threeArguments: (original) =>
    function (config, values, callback) {
      const end = begin(textOf(config));
      const given = typeof values === 'function' ? values : callback;
      const parameters = typeof values === 'function' ? undefined : values;
      if (given !== undefined) return original.call(this, config, parameters, hearing(end, given));
      const result = original.call(this, config, parameters);
      endWithResult(result, end);
      return result;
    },
  /** The query in pg's queue gets another callback. */
  callbackOfQueue: (original) =>
    function (...parameters) {
      const end = begin(textOf(parameters[0]));
      const result = original.apply(this, parameters);
      const query = this._queryQueue.at(-1) ?? this._activeQuery;
      if (query.callback) query.callback = hearing(end, query.callback);
      else query.then(() => end(), end);
      return result;
    },
  /** The text is changed in a copy, of what has no name and of what has one. */
  spread: (original) =>
    function (config, ...rest) {
      const end = begin(textOf(config));
      if (isOfItsOwn(config)) return original.call(this, config, ...rest.map((each) => hearing(end, each)));
      const copy = typeof config === 'string' ? `${config} /* traced */` : { ...config, text: config.text };
      const last = rest.length - 1;
      if (typeof rest[last] === 'function') rest[last] = hearing(end, rest[last]);
      const result = original.call(this, copy, ...rest);
      if (typeof rest[last] !== 'function') endWithResult(result, end);
      return result;
    },
  /** The query is made anew, from its text, values and row mode alone. */
  rebuilt: (original) =>
    function (config, ...rest) {
      const end = begin(textOf(config));
      if (isOfItsOwn(config)) return original.call(this, config, ...rest.map((each) => hearing(end, each)));
      const callback = rest.find((each) => typeof each === 'function');
      const values = rest.find((each) => Array.isArray(each)) ?? config.values;
      const { rowMode } = config;
      return original.call(this, { text: textOf(config), values, rowMode }, hearing(end, callback));
    },
  /** `submit` of the query is wrapped, too. */
  submit: (original) =>
    function (config, ...rest) {
      if (typeof config.submit === 'function') {
        const { submit } = config;
        config.submit = function (connection) {
          return submit.call(this, connection);
        };
      }
      return wrappers.argument(original).call(this, config, ...rest);
    },
};

Client.prototype.query = wrappers[process.env.TRACER_OPTIONS](Client.prototype.query);

globalThis.tracer = { run: (name, fn) => caller.run(name, fn), spans: async () => all };
