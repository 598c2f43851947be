import { SttOptionError, SttStateError } from '../errors/local.ts';
import { warn } from '../events.ts';

/** The frame types that are the application's own. */
const LEAST_TYPE = 0x80;
const MOST_TYPE = 0xfe;

/** Takes the frames of one type, in the order in which they came. The bytes are the handler's to keep. */
export type FrameHandler = (bytes: Uint8Array) => void;

/** Checks a frame type of the application's own. */
export function checkFrameType(type: unknown): asserts type is number {
  if (
    typeof type !== 'number' ||
    !Number.isInteger(type) ||
    type < LEAST_TYPE ||
    type > MOST_TYPE
  ) {
    throw new SttOptionError('type', 'must be an integer from 0x80 to 0xFE');
  }
}

/** Who takes which frames of a session. */
export class FrameHandlers {
  readonly #handlers = new Map<number, FrameHandler>();
  readonly #onChange: (type: number, held: boolean) => void;

  constructor(onChange: (type: number, held: boolean) => void) {
    this.#onChange = onChange;
  }

  /** Adds the one handler of a type; the answer takes it away again. */
  add(type: number, handler: FrameHandler): () => void {
    checkFrameType(type);
    if (typeof handler !== 'function') throw new SttOptionError('handler', 'must be a function');
    if (this.#handlers.has(type)) {
      throw new SttStateError(`Frames of type 0x${type.toString(16)} have a handler already.`);
    }
    this.#handlers.set(type, handler);
    this.#onChange(type, true);
    return () => {
      if (this.#handlers.get(type) !== handler) return;
      this.#handlers.delete(type);
      this.#onChange(type, false);
    };
  }

  /** False: nobody takes frames of this type any more. */
  dispatch(type: number, bytes: Uint8Array): boolean {
    const handler = this.#handlers.get(type);
    if (handler === undefined) return false;
    try {
      handler(bytes);
    } catch (error) {
      warn(`the handler of frame type 0x${type.toString(16)} threw`, error);
    }
    return true;
  }
}
