import type { WaitOptions } from '../async.ts';
import { checkWait, handled, Waiter } from '../async.ts';
import { MESSAGE_OVERHEAD } from './sender.ts';

type Step = IteratorResult<readonly Uint8Array[], undefined>;

const OVER: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** Datagrams that came and were not taken: bounded, the newest or the oldest dropped as configured. */
export class DatagramInbox {
  readonly #limit: number;
  readonly #drop: 'newest' | 'oldest';
  #queue: Uint8Array[] = [];
  #cost = 0;
  #dropped = 0;
  #end: { readonly why: (() => unknown) | undefined } | undefined;
  readonly #waiting: Waiter<Step>[] = [];

  constructor(limit: number, drop: 'newest' | 'oldest') {
    this.#limit = limit;
    this.#drop = drop;
  }

  /** Datagrams that were dropped here. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Datagrams that wait. */
  get length(): number {
    return this.#queue.length;
  }

  push(datagram: Uint8Array): void {
    const waiter = this.#waiting.shift();
    if (waiter !== undefined) {
      waiter.resolve({ done: false, value: [datagram] });
      return;
    }
    const cost = datagram.length + MESSAGE_OVERHEAD;
    if (this.#drop === 'newest' && this.#cost + cost > this.#limit) {
      this.#dropped += 1;
      return;
    }
    this.#queue.push(datagram);
    this.#cost += cost;
    let oldest = 0;
    // The one that came stays in any case: no longer one comes than the limit has room for.
    while (this.#cost > this.#limit && oldest < this.#queue.length - 1) {
      this.#cost -= (this.#queue[oldest] as Uint8Array).length + MESSAGE_OVERHEAD;
      oldest += 1;
    }
    this.#dropped += oldest;
    if (oldest > 0) this.#queue = this.#queue.slice(oldest);
  }

  /** Nothing more comes; with `why`, whoever waits gets what it makes. It is asked only if somebody does. */
  end(why: (() => unknown) | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { why };
    for (const waiter of this.#waiting.splice(0)) {
      if (why === undefined) waiter.resolve(OVER);
      else waiter.reject(why());
    }
  }

  /** What waits, at most so many; or the next one. */
  next(wait: WaitOptions, most: number = Number.POSITIVE_INFINITY): Promise<Step> {
    if (wait.signal?.aborted === true) return handled(Promise.reject(wait.signal.reason));
    if (this.#queue.length > 0) return Promise.resolve({ done: false, value: this.#take(most) });
    if (this.#end !== undefined) {
      const { why } = this.#end;
      return why === undefined ? Promise.resolve(OVER) : handled(Promise.reject(why()));
    }
    const waiter = new Waiter<Step>(wait, 'Waiting for a datagram', (error) => {
      const index = this.#waiting.indexOf(waiter);
      if (index >= 0) this.#waiting.splice(index, 1);
      return error;
    });
    if (!waiter.settled) this.#waiting.push(waiter);
    return waiter.promise;
  }

  batches(
    options: WaitOptions | undefined,
  ): AsyncIterableIterator<readonly Uint8Array[], undefined> {
    const wait = checkWait(options);
    let left = false;
    const iterator: AsyncIterableIterator<readonly Uint8Array[], undefined> = {
      next: () => (left ? Promise.resolve(OVER) : this.next(wait)),
      return: () => {
        left = true;
        return Promise.resolve(OVER);
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  values(options: WaitOptions | undefined): AsyncIterableIterator<Uint8Array, undefined> {
    const wait = checkWait(options);
    let left = false;
    const iterator: AsyncIterableIterator<Uint8Array, undefined> = {
      next: async () => {
        if (left) return OVER;
        // One at a time: what this loop does not take is the next one's, whoever asks for it.
        const step = await this.next(wait, 1);
        return step.done === true ? step : { done: false, value: step.value[0] as Uint8Array };
      },
      return: () => {
        left = true;
        return Promise.resolve(OVER);
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  #take(most: number): Uint8Array[] {
    if (most >= this.#queue.length) {
      const all = this.#queue;
      this.#queue = [];
      this.#cost = 0;
      return all;
    }
    const taken = this.#queue.splice(0, most);
    for (const { length } of taken) this.#cost -= length + MESSAGE_OVERHEAD;
    return taken;
  }
}
