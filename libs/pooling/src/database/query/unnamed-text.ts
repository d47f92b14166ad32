import type { RowShape } from '../wire/row-shape.js';
import type { CountedText } from './counted-text.js';
import { PlanWatch } from './plan-watch.js';

/** A text that is sent by the wire. */
export interface WireText {
  readonly text: string;
  /** The text as it is sent: with the pool's comment. */
  readonly sent: string;
  /** The server's name for it. */
  readonly name: string;
  /** The name as it is sent. */
  readonly nameBytes: Buffer;
  /** Whether the server keeps it: its uses are counted, and its plans watched. */
  readonly kept: boolean;
  /** Whether each use is planned for its own values. */
  readonly customPlanned: boolean;
  /** Whether its text shows that it may change how other texts are read. */
  readonly changing: boolean;
  /** Whether its kind allows it to run on a shared connection. */
  readonly shareable: boolean;
  readonly plans: PlanWatch;
  /** What its rows looked like last, on whichever connection. */
  shape: RowShape | undefined;
  /** As what it is counted, once it is. */
  counted: CountedText | undefined;
}

const NO_NAME: Buffer = Buffer.from('\0');
const NO_PLANS = new PlanWatch();

/** A text that is parsed without a name: the server forgets it with the next one. */
export class UnnamedText implements WireText {
  readonly text: string;
  readonly sent: string;
  readonly name = '';
  readonly nameBytes: Buffer = NO_NAME;
  readonly kept = false;
  readonly customPlanned = true;
  readonly changing = true;
  readonly shareable = false;
  readonly plans = NO_PLANS;
  shape: RowShape | undefined = undefined;
  counted: CountedText | undefined = undefined;

  constructor(text: string, sent = text) {
    this.text = text;
    this.sent = sent;
  }
}
