/** `uplot.js` is a script, not a module: it makes this one global. */
declare const uPlot: typeof import('uplot');
