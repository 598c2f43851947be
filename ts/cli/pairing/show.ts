import encodeQR from 'qr';
import { formatAddress } from '../../address.ts';
import type { SttEndpoint } from '../../index.ts';
import type { Output } from '../output.ts';
import { ticketOf, wordsOf } from './secret.ts';

/** Fewest milliseconds between two remarks about wrong words: a stranger is not to flood a screen. */
const REMARK_INTERVAL_MS = 5_000;

/** What a person at the showing side sees. The secret is for the terminal alone: it is in no line of `--json`. */
export class Invitations {
  readonly #endpoint: SttEndpoint;
  readonly #secret: Uint8Array;
  readonly #options: { readonly qr: boolean; readonly expires: number };
  readonly #output: Output;
  #wrong = 0;
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
    endpoint.on('handshakeError', ({ address }) => this.#onWrong(address));
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
    const minutes = Math.round(this.#options.expires / 6_000) / 10;
    const command = `stt pair ${places[0] ?? `HOST:${port}`}`;
    this.#output.event('pairing', { address, port, expiresMs: this.#options.expires });
    const lines = [
      `On the other machine, within ${minutes} min:  ${command}`,
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
    if (this.#options.qr) process.stderr.write(`\n${encodeQR(ticket, 'ascii')}\n`);
  }

  #onWrong(address: string): void {
    this.#wrong += 1;
    const now = performance.now();
    if (now - this.#remarked < REMARK_INTERVAL_MS) return;
    this.#remarked = now;
    const times = this.#wrong === 1 ? 'once' : `${this.#wrong} times`;
    this.#output.note(`wrong words, ${times} so far, the last from ${address}`);
  }
}
