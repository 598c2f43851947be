import encodeQR from 'qr';
import { formatAddress } from '../../address.ts';
import type { SttEndpoint, SttError } from '../../index.ts';
import { isSttError } from '../../index.ts';
import type { Output } from '../output.ts';
import { formatDuration } from '../units.ts';
import { ticketOf, wordsOf } from './secret.ts';

/** Fewest milliseconds between two remarks about wrong words: a stranger is not to flood a screen. */
const REMARK_INTERVAL_MS = 5_000;

/** Most tries that are told from their own repetitions. */
const MAX_TRIES = 256;

/** The step of a handshake that failed because the sides' clocks differ. */
const SUBCODE_TIMESTAMP = 2;

/** Whether a handshake failed because the clocks of both sides differ. */
export function isClockFault(error: unknown): error is SttError {
  return isSttError(error) && error.subcode === SUBCODE_TIMESTAMP;
}

/** What a person at the showing side sees. The secret is for the terminal alone: it is in no line of `--json`. */
export class Invitations {
  readonly #endpoint: SttEndpoint;
  readonly #secret: Uint8Array;
  readonly #options: { readonly qr: boolean; readonly expires: number };
  readonly #output: Output;
  #wrong = 0;
  /** One of those that were not told yet came with another time. */
  #skewed = false;
  readonly #tries = new Set<string>();
  #last = '';
  #remark: NodeJS.Timeout | undefined;
  #remarked = Number.NEGATIVE_INFINITY;

  constructor(
    endpoint: SttEndpoint,
    secret: Uint8Array,
    options: { readonly qr: boolean; readonly expires: number },
    output: Output,
  ) {
    this.#endpoint = endpoint;
    this.#secret = secret;
    this.#options = options;
    this.#output = output;
    endpoint.on('handshakeError', ({ address, port, error }) => {
      if (isClockFault(error)) this.#skewed = true;
      this.#onWrong(address, port);
    });
  }

  show(hosts: readonly string[]): void {
    const { address, port } = this.#endpoint.address;
    const wildcard = address === '0.0.0.0' || address === '::';
    const places = (wildcard ? hosts : [address]).map((host) =>
      formatAddress({ address: host, port }),
    );
    const ticket = ticketOf({
      secret: this.#secret,
      nodeId: this.#endpoint.nodeId,
      addresses: places,
    });
    const command = `stt pair ${places[0] ?? `HOST:${port}`}`;
    this.#output.event('pairing', { address, port, expiresMs: this.#options.expires });
    const lines = [
      `On the other machine, within ${formatDuration(this.#options.expires)}:  ${command}`,
      'and type these words:',
      '',
      `  ${wordsOf(this.#secret).split(' ').slice(0, 6).join(' ')}`,
      `  ${wordsOf(this.#secret).split(' ').slice(6).join(' ')}`,
      '',
      'or "stt pair --join" there, and paste:',
      `  ${ticket}`,
    ];
    // Not a remark that --quiet or --json could take away: without it the command is of no use.
    process.stderr.write(`${lines.join('\n')}\n`);
    if (this.#options.qr) process.stderr.write(`\n${this.#code(ticket)}\n`);
  }

  /** The ticket for a camera: light on dark whatever the terminal's own colours are, where it has any. */
  #code(ticket: string): string {
    const code = encodeQR(ticket, 'ascii').trimEnd();
    if (!this.#output.options.color || !process.stderr.isTTY) return code;
    return code.replace(/^.+$/gm, '\u001b[97;40m$&\u001b[0m');
  }

  #onWrong(address: string, port: number): void {
    // A try repeats its first packet while it waits: each has a port of its own.
    const from = formatAddress({ address, port });
    if (this.#tries.has(from)) return;
    if (this.#tries.size >= MAX_TRIES) this.#tries.clear();
    this.#tries.add(from);
    this.#wrong += 1;
    this.#last = address;
    // Those that come before the next remark are told by it.
    this.#remark ??= setTimeout(
      () => this.#tellWrong(),
      Math.max(0, this.#remarked + REMARK_INTERVAL_MS - performance.now()),
    ).unref();
  }

  #tellWrong(): void {
    this.#remark = undefined;
    this.#remarked = performance.now();
    if (this.#skewed) {
      this.#skewed = false;
      // A clock that is off is found before the words are looked at.
      this.#wrong = 0;
      this.#output.note(
        `the clocks of this machine and ${this.#last} differ too much: set both, then pair again`,
      );
      return;
    }
    const times = this.#wrong === 1 ? 'once' : `${this.#wrong} times`;
    this.#output.note(`wrong words, ${times} so far, the last from ${this.#last}`);
  }
}
