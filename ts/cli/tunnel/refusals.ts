import type { Output } from '../output.ts';
import type { Refusal } from './messages.ts';
import type { Target } from './target.ts';
import { show } from './target.ts';

/** Why a connection was not carried, as the near side sees it. */
export type NearRefusal =
  | Refusal
  /** There is no session with the far side, and there was none within the time. */
  | 'offline'
  /** As many connections as are allowed are there already. */
  | 'full'
  /** The far side did not answer. */
  | 'silent';

/** Why, in words, behind "refused: ". */
export function reasonOf(refusal: NearRefusal, target: Target, code?: string): string {
  const place = show(target);
  const because = code === undefined ? '' : ` (${code} there)`;
  switch (refusal) {
    case 'forbidden':
      return `the far side does not allow ${place}; it would with --allow ${place}`;
    case 'unresolved':
      return `the far side finds no address of ${target.host}${because}`;
    case 'refused':
      return `nothing takes connections at ${place}${because}`;
    case 'unreachable':
      return `no way leads from the far side to ${place}${because}`;
    case 'timeout':
      return `${place} did not answer the far side in time`;
    case 'busy':
      return `the far side carries as many connections as it can${because}`;
    case 'ending':
      return 'the far side is about to end';
    case 'malformed':
      return 'the far side does not understand this version of stt';
    case 'failed':
      return `the far side cannot connect to ${place}${because}`;
    case 'offline':
      return 'there is no session with the far side';
    case 'full':
      return 'as many connections as --max-connections allows are open';
    case 'silent':
      return 'the far side did not answer';
  }
}

/** What the far side says, from what the system said. */
export function refusalOf(code: string | undefined): Refusal {
  switch (code) {
    case 'ECONNREFUSED':
    case 'ECONNRESET':
      return 'refused';
    case 'ENOTFOUND':
    case 'EAI_AGAIN':
    case 'EAI_NODATA':
      return 'unresolved';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EADDRNOTAVAIL':
      return 'unreachable';
    case 'ETIMEDOUT':
      return 'timeout';
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOMEM':
    case 'ENOBUFS':
      return 'busy';
    default:
      return 'failed';
  }
}

/** How many refusals are told one by one in {@link PERIOD_MS}; the rest as a number. */
const MOST = 20;
const PERIOD_MS = 10_000;

/** Tells of refusals, each in a line, and never so many that a peer could fill the disk with them. */
export class RefusalLog {
  readonly #output: Output;
  #since = Number.NEGATIVE_INFINITY;
  #told = 0;
  #left = 0;

  constructor(output: Output) {
    this.#output = output;
  }

  /** @param text one line. */
  tell(text: string, fields: Record<string, unknown>): void {
    const now = performance.now();
    if (now - this.#since >= PERIOD_MS) {
      if (this.#left > 0) this.#output.note(`refused: ${this.#left} more that were not told`);
      this.#since = now;
      this.#told = 0;
      this.#left = 0;
    }
    if (this.#told === MOST) {
      this.#left += 1;
      return;
    }
    this.#told += 1;
    this.#output.event('refused', fields);
    this.#output.note(`refused: ${text}`);
  }
}
