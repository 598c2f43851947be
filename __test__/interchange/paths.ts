// The addresses at which the responder sees the initiator: what may be sent there before the path is
// proven (PROTOCOL.md sections 2.6, 2.7, 6.3).

import type { Datagram, Path } from './capture.ts';
import { demand } from './deviation.ts';

interface State {
  /** Bytes that came from there, and that went there. */
  received: number;
  sent: number;
  proven: boolean;
  /** Random bytes of the KEEP_ALIVEs of kind 1 that went there. */
  readonly challenges: Set<string>;
  /** Whether more came from there than what only probes a path. */
  used: boolean;
}

export class Paths {
  readonly #paths = new Map<string, State>();

  /** How many addresses the initiator was seen at, and how many of them are proven. */
  get counts(): { seen: number; proven: number } {
    const all = [...this.#paths.values()];
    return { seen: all.length, proven: all.filter((path) => path.proven).length };
  }

  /** A datagram that the document has allowed so far. */
  note({ from, bytes, delivered, path }: Datagram): void {
    const state = this.#of(path);
    if (from === 'initiator') {
      if (delivered) state.received += bytes.length;
      return;
    }
    state.sent += bytes.length;
    const allowed = state.proven || state.sent <= state.received;
    demand(allowed, '6.3', `${state.sent} bytes to a path from which ${state.received} came`);
  }

  /** An AUTH_PROOF, or the first sealed packet after a RESUME, has proven where it came from. */
  prove(path: Path): void {
    this.#of(path).proven = true;
  }

  /** Something of the initiator that is not probing got here. */
  use(path: Path): void {
    this.#of(path).used = true;
  }

  /** Something of the responder that is not probing went there. */
  demandUsed(path: Path): void {
    demand(this.#of(path).used, '6.3', 'a session moves only to where the peer has moved');
  }

  challenge(path: Path, nonce: string): void {
    this.#of(path).challenges.add(nonce);
  }

  /** A KEEP_ALIVE of kind 1 was answered, by whichever path. */
  answer(nonce: string): void {
    for (const state of this.#paths.values()) {
      if (state.challenges.has(nonce)) state.proven = true;
    }
  }

  #of({ host, port }: Path): State {
    const name = `${host}:${port}`;
    const known = this.#paths.get(name);
    if (known !== undefined) return known;
    const fresh = {
      received: 0,
      sent: 0,
      proven: false,
      challenges: new Set<string>(),
      used: false,
    };
    this.#paths.set(name, fresh);
    return fresh;
  }
}
