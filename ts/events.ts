import { EventEmitter } from 'node:events';

/** A map from the names of events to what their listeners get. */
export type EventMap<Events> = { [Name in keyof Events]: unknown };

/** The face of an object with events: typed, few, and none of them `error`. */
export interface Emits<Events extends EventMap<Events>> {
  /** Calls `listener` at every such event. */
  on<Name extends keyof Events & string>(name: Name, listener: (event: Events[Name]) => void): this;
  /** Calls `listener` at the next such event only. */
  once<Name extends keyof Events & string>(
    name: Name,
    listener: (event: Events[Name]) => void,
  ): this;
  /** Removes a listener that `on` or `once` added. */
  off<Name extends keyof Events & string>(
    name: Name,
    listener: (event: Events[Name]) => void,
  ): this;
}

/**
 * Base of objects with events. The emitter is made at the first listener, because most sessions
 * never have one. A listener that throws is reported as a warning: it must not break the transport.
 */
export abstract class Emitting<Events extends EventMap<Events>> implements Emits<Events> {
  #emitter: EventEmitter | undefined;

  on<Name extends keyof Events & string>(
    name: Name,
    listener: (event: Events[Name]) => void,
  ): this {
    this.#emitter ??= new EventEmitter();
    this.#emitter.on(name, listener);
    return this;
  }

  once<Name extends keyof Events & string>(
    name: Name,
    listener: (event: Events[Name]) => void,
  ): this {
    this.#emitter ??= new EventEmitter();
    this.#emitter.once(name, listener);
    return this;
  }

  off<Name extends keyof Events & string>(
    name: Name,
    listener: (event: Events[Name]) => void,
  ): this {
    this.#emitter?.off(name, listener);
    return this;
  }

  /** @internal */
  emit<Name extends keyof Events & string>(name: Name, event: Events[Name]): void {
    if (this.#emitter === undefined) return;
    for (const listener of this.#emitter.rawListeners(name)) {
      try {
        Reflect.apply(listener, this.#emitter, [event]);
      } catch (error) {
        warn(`a listener of '${name}' threw`, error);
      }
    }
  }
}

/** Tells of a mistake in the application's callback without breaking what called it. */
export function warn(what: string, error: unknown): void {
  const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.emitWarning(`${what}: ${detail}`, { type: 'SttWarning', code: 'STT_CALLBACK' });
}
