import { Waiter } from './async.ts';

/**
 * A queue between the core, which pushes, and an application that iterates. Ends well (iteration is
 * over once it is empty) or with an error (thrown once it is empty, at every further step).
 */
export class IterableQueue<Item> {
  readonly #items: Item[] = [];
  readonly #waiting: Waiter<IteratorResult<Item, undefined>>[] = [];
  #end: { readonly why?: (() => unknown) | undefined } | undefined;

  get length(): number {
    return this.#items.length;
  }

  push(item: Item): void {
    if (this.#end !== undefined) return;
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#items.push(item);
    else waiter.resolve({ done: false, value: item });
  }

  /** Takes everything out, so that nobody gets it any more. */
  clear(): Item[] {
    return this.#items.splice(0);
  }

  /** Nothing more comes; with `why`, iteration ends by throwing what it makes. It is asked only if somebody iterates. */
  end(why?: () => unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { why };
    for (const waiter of this.#waiting.splice(0)) {
      if (why === undefined) waiter.resolve({ done: true, value: undefined });
      else waiter.reject(why());
    }
  }

  /** Several iterations share the queue: each item goes to one of them. */
  iterate(onReturn?: () => void): AsyncIterableIterator<Item, undefined> {
    let left = false;
    const iterator: AsyncIterableIterator<Item, undefined> = {
      next: () => (left ? Promise.resolve({ done: true, value: undefined }) : this.#next()),
      return: async () => {
        left = true;
        onReturn?.();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  #next(): Promise<IteratorResult<Item, undefined>> {
    const waiter = new Waiter<IteratorResult<Item, undefined>>();
    const item = this.#items.shift();
    if (item !== undefined) waiter.resolve({ done: false, value: item });
    else if (this.#end === undefined) this.#waiting.push(waiter);
    else if (this.#end.why === undefined) waiter.resolve({ done: true, value: undefined });
    else waiter.reject(this.#end.why());
    return waiter.promise;
  }
}
