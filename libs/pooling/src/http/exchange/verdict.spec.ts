import { verdict, type Facts } from './verdict.js';

/** A request on a fresh connection that failed without an answer, for a reason of its own. */
const USUAL: Facts = {
  phase: 'sent',
  sent: true,
  refused: false,
  alive: true,
  broken: false,
  reused: false,
  aborted: false,
  whole: false,
  bodyless: false,
  replaceable: true,
};

describe('what a failure means', () => {
  it.each<[string, Partial<Facts>, string]>([
    ['an exchange that has ended', { phase: 'done', broken: true, alive: false }, 'over'],
    ['an answer that is only read to be replaced', { phase: 'discarding', aborted: true }, 'next'],
    ['one that we gave up', { aborted: true, broken: true, alive: false, reused: true }, 'given-up'],
    [
      'a peer that closed after the last byte',
      { phase: 'reading', whole: true, broken: true, alive: false },
      'complete',
    ],
    ['a wrong answer, though every byte has come', { phase: 'reading', whole: true, alive: false }, 'failed'],
    [
      'an error after the head of an answer without a body',
      { phase: 'reading', bodyless: true, alive: false },
      'complete',
    ],
    ['a kept socket that broke before an answer', { reused: true, broken: true, alive: false }, 'replay'],
    ['a kept socket that answered nonsense', { reused: true, alive: false }, 'failed'],
    ['a fresh socket that broke before an answer', { broken: true, alive: false }, 'failed'],
    ['a socket that died before anything was sent', { sent: false, alive: false }, 'replay'],
    ['a request that could not be sent over a good socket', { sent: false }, 'failed'],
    ['a kept socket that broke in the body', { phase: 'reading', reused: true, broken: true, alive: false }, 'failed'],
    ['what the caller has seen in part', { reused: true, broken: true, alive: false, replaceable: false }, 'failed'],
    ['what the server has not processed', { refused: true }, 'replay'],
    ['what undici gave up for that', { refused: true, aborted: true }, 'replay'],
    ['what the server refuses after its head', { refused: true, phase: 'reading' }, 'failed'],
    ['an attempt above the interceptors', { phase: 'above', broken: true }, 'failed'],
  ])('is right for %s', (_name, facts, expected) => {
    expect(verdict({ ...USUAL, ...facts })).toBe(expected);
  });
});
