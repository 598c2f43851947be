import type { SttSession } from '../../index.ts';
import type { Desk } from './desk.ts';
import { Busy } from './refusal.ts';

/**
 * Has a reception, of a file or a tree, at a desk: it runs while no other of the same key does, and one that is told to
 * come again later keeps nobody away. `check` says before that what will not do, once it is known that this is the
 * receiver for it: whoever it is not there for ends nothing with a bad offer.
 */
export async function receiveAt<T>(
  desk: Desk,
  key: string,
  session: SttSession,
  reception: { declineIf(check: () => Promise<void>): Promise<void>; run(): Promise<T> },
  check: () => void | Promise<void>,
): Promise<T> {
  let leave: (() => void) | undefined;
  try {
    await reception.declineIf(async () => {
      desk.admit(key);
      await check();
      leave = await desk.enter(key, session);
    });
    return await reception.run();
  } catch (error) {
    if (error instanceof Busy) desk.unbind(key);
    throw error;
  } finally {
    leave?.();
  }
}
