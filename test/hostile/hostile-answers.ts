import type { Socket } from 'node:net';
import { deflateRawSync, gzipSync } from 'node:zlib';
import { chunked, rawAnswer } from '#test/support/raw-server.js';
import type { SeededRandom } from '#test/support/random.js';

/** What a hostile server has at hand when it answers one request. */
export interface Victim {
  /** Tells this request from every other. */
  readonly nonce: string;
  readonly method: string;
  readonly socket: Socket;
  readonly random: SeededRandom;
  /** The answer is as it should be: the caller must get exactly this body, or an error. */
  readonly fair: (body: Buffer) => void;
}

type Mischief = (victim: Victim) => void;

/** The body of a right answer to a request. */
function bodyFor({ nonce, random }: Victim): Buffer {
  return Buffer.from(JSON.stringify({ nonce, filling: nonce.repeat(random.between(0, 200)) }));
}

function headOf({ nonce }: Victim, lines: readonly string[] = [], first = 'HTTP/1.1 200 OK'): string[] {
  return [first, `X-Nonce: ${nonce}`, ...lines];
}

function fair(victim: Victim, lines: readonly string[], body: Buffer, sent: Buffer = body): void {
  const empty = victim.method === 'HEAD';
  victim.fair(empty ? Buffer.alloc(0) : body);
  victim.socket.write(rawAnswer(headOf(victim, [...lines, `Content-Length: ${sent.length}`]), empty ? '' : sent));
}

/** A right answer's bytes, for those that spoil them. */
function wholeAnswer(victim: Victim, lines: readonly string[] = []): Buffer {
  const body = bodyFor(victim);
  const sent = victim.method === 'HEAD' ? '' : body;
  return rawAnswer(headOf(victim, [...lines, `Content-Length: ${body.length}`]), sent);
}

function end({ socket, random }: Victim): void {
  if (random.next() < 0.5) socket.end();
  else socket.resetAndDestroy();
}

/** Sends bytes in pieces, one with every turn of the event loop. */
function drip(socket: Socket, bytes: Buffer, pieces: number, then: () => void = () => {}): void {
  const size = Math.max(1, Math.ceil(bytes.length / pieces));
  let at = 0;
  const next = (): void => {
    if (socket.destroyed) return;
    if (at >= bytes.length) return then();
    socket.write(bytes.subarray(at, at + size));
    at += size;
    setImmediate(next);
  };
  next();
}

/** Heads that no server should send; the body that follows is right. */
const ODD_LINES: readonly string[] = [
  'Content-Length: -1',
  'Content-Length: 99999999999999999999',
  'Content-Length: 5, 6',
  'Content-Length: ',
  'Content-Length: 0x10',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: identity',
  'Content-Encoding: constructor',
  'Content-Encoding: __proto__, gzip',
  'Content-Encoding: gzip',
  'Content-Encoding: br\r\nContent-Encoding: gzip',
  `Content-Encoding: ${'gzip,'.repeat(500)}`,
  'Connection: close, upgrade',
  'Connection: \xff\xfe',
  'Keep-Alive: timeout=99999999999999999999',
  'Keep-Alive: timeout=0',
  'Keep-Alive: timeout=-1, max=-1',
  'Upgrade: h2c',
  'Location: http://[',
  'Location: /loop\r\nLocation: /loop',
  'Retry-After: 99999999999',
  'Retry-After: -1',
  'Set-Cookie: a=b\r\nSet-Cookie: c=d',
  '__proto__: polluted',
  'constructor: x\r\nconstructor: y',
  ' folded: line',
  'No colon here',
  ': no name',
  'Nul: \0',
  'Trailer: X-Trailer',
  `Long: ${'x'.repeat(20_000)}`,
  Array.from({ length: 500 }, (_, at) => `Many-${at}: ${at}`).join('\r\n'),
];

const ODD_FIRST_LINES: readonly string[] = [
  'HTTP/1.0 200 OK',
  'HTTP/1.1 200',
  'HTTP/1.1 204 No Content',
  'HTTP/1.1 304 Not Modified',
  'HTTP/1.1 205 Reset',
  'HTTP/1.1 206 Partial',
  'HTTP/1.1 302 Found',
  'HTTP/1.1 429 Slow',
  'HTTP/1.1 503 Busy',
  'HTTP/1.1 101 Switching Protocols',
  'HTTP/1.1 100 Continue',
  'HTTP/1.1 999 Strange',
  'HTTP/1.1 000 None',
  'HTTP/1.1 20 Short',
  'HTTP/1.1 2000 Long',
  'HTTP/3.7 200 OK',
  'HTTP/2.0 200 OK',
  'ICY 200 OK',
  'PRI * HTTP/2.0',
  '',
];

const ODD_CHUNKS: readonly string[] = [
  '5\r\nhello\r\n0\r\n\r\n',
  '5;name=value\r\nhello\r\n0\r\nX-Trailer: t\r\n\r\n',
  '5\nhello\n0\n\n',
  'FFFFFFFFFFFFFFFFF\r\nhello\r\n',
  '-5\r\nhello\r\n0\r\n\r\n',
  'xyz\r\nhello\r\n0\r\n\r\n',
  '5\r\nhello world\r\n0\r\n\r\n',
  '5\r\nhel',
  '0\r\n',
  '\r\n\r\n',
];

const mischiefs: readonly (readonly [weight: number, mischief: Mischief])[] = [
  [30, (victim) => fair(victim, [], bodyFor(victim))],
  [4, (victim) => fair(victim, ['Content-Encoding: gzip'], ...packed(victim, gzipSync))],
  [4, (victim) => fair(victim, ['Content-Encoding: deflate'], ...packed(victim, deflateRawSync))],
  [
    6,
    (victim) => {
      const body = bodyFor(victim);
      victim.fair(victim.method === 'HEAD' ? Buffer.alloc(0) : body);
      const sent = victim.method === 'HEAD' ? '' : chunked(body, victim.random.between(1, 300));
      victim.socket.write(rawAnswer(headOf(victim, ['Transfer-Encoding: chunked']), sent));
    },
  ],
  // Right, and in the smallest pieces.
  [4, (victim) => drip(victim.socket, wholeAnswer(victim), victim.random.between(2, 60))],
  // Right, after interim answers.
  [
    2,
    (victim) =>
      void victim.socket.write(
        `${'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n'.repeat(victim.random.between(1, 50))}${wholeAnswer(victim).toString('latin1')}`,
        'latin1',
      ),
  ],
  // Broken off anywhere.
  [
    8,
    (victim) => {
      const bytes = wholeAnswer(victim, victim.random.next() < 0.5 ? ['Connection: close'] : []);
      victim.socket.write(bytes.subarray(0, victim.random.between(0, bytes.length - 1)), () => end(victim));
    },
  ],
  // Right, and the socket ends.
  [4, (victim) => void victim.socket.write(wholeAnswer(victim), () => end(victim))],
  // More than was asked for, for whoever comes next.
  [
    6,
    (victim) =>
      void victim.socket.write(
        Buffer.concat([
          wholeAnswer(victim),
          rawAnswer(['HTTP/1.1 200 OK', 'X-Nonce: unasked', 'Content-Length: 7'], 'unasked'),
        ]),
      ),
  ],
  [3, (victim) => void victim.socket.write(Buffer.concat([wholeAnswer(victim), Buffer.from('\r\n\r\n\0\0garbage')]))],
  [
    10,
    (victim) =>
      void victim.socket.write(
        rawAnswer(headOf(victim, [oneOf(victim, ODD_LINES), 'Content-Length: 5']), 'hello'),
        'latin1',
      ),
  ],
  [
    8,
    (victim) =>
      void victim.socket.write(
        rawAnswer(headOf(victim, ['Content-Length: 5'], oneOf(victim, ODD_FIRST_LINES)), 'hello'),
      ),
  ],
  [
    6,
    (victim) =>
      void victim.socket.write(rawAnswer(headOf(victim, ['Transfer-Encoding: chunked']), oneOf(victim, ODD_CHUNKS))),
  ],
  // A body that isn't what it calls itself, or far more.
  [
    3,
    (victim) =>
      void victim.socket.write(wholeAnswer(victim, [`Content-Encoding: ${oneOf(victim, ['gzip', 'br', 'deflate'])}`])),
  ],
  [
    1,
    (victim) =>
      void victim.socket.write(
        rawAnswer(headOf(victim, ['Content-Encoding: gzip', `Content-Length: ${BOMB.length}`]), BOMB),
      ),
  ],
  // Silence, at once or in the middle.
  [1, () => {}],
  [1, (victim) => void victim.socket.write(rawAnswer(headOf(victim, ['Content-Length: 5000']), 'stalls'))],
  [1, (victim) => void victim.socket.write('HTTP/1.1 200 O')],
  // Ends at once.
  [4, end],
  // Random bytes, and a right answer with some of them wrong.
  [4, (victim) => void victim.socket.write(noise(victim, victim.random.between(1, 500)))],
  [
    10,
    (victim) => {
      const bytes = wholeAnswer(victim);
      for (let flips = victim.random.between(1, 5); flips > 0; flips--) {
        bytes[victim.random.between(0, bytes.length - 1)] = victim.random.between(0, 255);
      }
      victim.socket.write(bytes);
    },
  ],
];

const BOMB = gzipSync(Buffer.alloc(4_000_000));

/** Answers a request in one of all the ways, good and bad. */
export function answerHostilely(victim: Victim): void {
  victim.random.pick(mischiefs)(victim);
}

function packed(victim: Victim, pack: (body: Buffer) => Buffer): [body: Buffer, sent: Buffer] {
  const body = bodyFor(victim);
  return [body, pack(body)];
}

function oneOf<Choice>({ random }: Victim, choices: readonly Choice[]): Choice {
  return choices[random.between(0, choices.length - 1)] as Choice;
}

function noise({ random }: Victim, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.between(0, 255)));
}
