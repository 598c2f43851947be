import type { SttSession } from '../../index.ts';

/** Another sender is being served, or awaited, or nobody any more. */
export class DeskBusyError extends Error {
  override readonly name = 'DeskBusyError';
}

interface Served {
  readonly session: SttSession;
  readonly left: Promise<void>;
}

/** Which transfers a receiver works on: one session each, and with `single` one transfer in all. */
export class Desk {
  readonly #single: boolean;
  readonly #served = new Map<string, Served>();
  #bound: string | undefined;
  #closed = false;

  constructor(single: boolean) {
    this.#single = single;
  }

  /** How many are being served. */
  get size(): number {
    return this.#served.size;
  }

  /**
   * Changes nothing.
   *
   * @throws {DeskBusyError} when this receiver is there for another.
   */
  admit(key: string): void {
    if (this.#closed) throw new DeskBusyError('this receiver is about to end');
    if (this.#single && this.#bound !== undefined && this.#bound !== key)
      throw new DeskBusyError('this receiver takes one file, and that is another one');
  }

  /**
   * Begins to serve a transfer; what is returned ends it. A session that served it before is ended first: its
   * sender has come back, so it is dead, whether that has been noticed or not.
   *
   * @throws {DeskBusyError} when this receiver is there for another.
   */
  async enter(key: string, session: SttSession): Promise<() => void> {
    this.admit(key);
    this.#bound = key;
    for (let old = this.#served.get(key); old !== undefined; old = this.#served.get(key)) {
      old.session.destroy('the sender has come back on another session');
      await old.left;
    }
    let leave = (): void => undefined;
    const left = new Promise<void>((resolve) => (leave = resolve));
    this.#served.set(key, { session, left });
    return () => {
      this.#served.delete(key);
      leave();
    };
  }

  /** Nothing more is begun. */
  close(): void {
    this.#closed = true;
  }

  /** Ends what is being served. Its sender sees that this is no good end, and may come again. */
  abandon(): void {
    for (const { session } of this.#served.values()) session.destroy('the receiver has ended');
  }

  /** A transfer that never began does not keep others away. */
  unbind(key: string): void {
    if (this.#bound === key) this.#bound = undefined;
  }
}
