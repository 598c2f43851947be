import type { FrameErrorEvent } from '@seigr/stt';
import { SttOptionError, SttStateError } from '@seigr/stt';
import { describe, expect, test } from 'vitest';
import { pair } from './pair.ts';

describe('frames of the application’s own types', () => {
  test('reach the handler of their type, in order, both ways', async () => {
    const { session, accepted } = await pair();
    for (const [from, to] of [
      [session, accepted],
      [accepted, session],
    ] as const) {
      const heard: string[] = [];
      const done = new Promise<void>((resolve) => {
        for (const type of [0x80, 0xa5, 0xfe]) {
          to.onFrame(type, (bytes) => {
            heard.push(`${type.toString(16)} ${Buffer.from(bytes).toString()}`);
            if (heard.length === 4) resolve();
          });
        }
      });
      // The handlers are told to the engine in order with what this side sends.
      await to.ping();
      await from.sendFrame(0x80, 'one');
      await from.sendFrame(0xfe, 'two');
      await from.sendFrame(0xa5, new Uint8Array(0));
      await from.sendFrame(0x80, 'four');
      await done;
      expect(heard).toEqual(['80 one', 'fe two', 'a5 ', '80 four']);
      expect(to.stats()).toMatchObject({ messagesReceived: 4, unknownFrames: 0 });
    }
  });

  test('without a handler: dropped, counted, told as 0x0404; the session lives', async () => {
    const { session, accepted } = await pair();
    const told = new Promise<FrameErrorEvent>((resolve) => accepted.once('frameError', resolve));
    await session.sendFrame(0x90, 'nobody');
    expect(await told).toMatchObject({
      code: 0x0404,
      codeName: 'UNKNOWN_FRAME_TYPE',
      count: 1,
      frameType: 0x90,
      error: {
        name: 'UnknownFrameTypeError',
        code: 0x0404,
        context: { sessionId: accepted.id },
        message: expect.stringMatching(/sent a frame of type 0x90 .* call onFrame\(0x90, /),
      },
    });
    await session.ping();
    expect(accepted.stats()).toMatchObject({ unknownFrames: 1, messagesReceived: 0 });
    expect(session.stats()?.messagesLost).toBe(0);
  });

  test('a handler can be taken away, and another put in its place', async () => {
    const { session, accepted } = await pair();
    const heard: string[] = [];
    const remove = accepted.onFrame(0x81, () => heard.push('first'));
    expect(() => accepted.onFrame(0x81, () => {})).toThrow(SttStateError);
    remove();
    remove();
    const second = new Promise<void>((resolve) => {
      accepted.onFrame(0x81, () => {
        heard.push('second');
        resolve();
      });
    });
    await accepted.ping();
    await session.sendFrame(0x81, 'x');
    await second;
    remove();
    await session.sendFrame(0x81, 'x');
    await session.ping();
    // Behind the frame in the events of the side that heard it.
    await accepted.ping();
    expect(heard).toEqual(['second', 'second']);
  });

  test('a handler that throws is warned of and breaks nothing', async () => {
    const { session, accepted } = await pair();
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    let count = 0;
    const twice = new Promise<void>((resolve) => {
      accepted.onFrame(0x82, () => {
        count += 1;
        if (count === 2) resolve();
        throw new Error('a mistake');
      });
    });
    await accepted.ping();
    await session.sendFrame(0x82, 'x');
    await session.sendFrame(0x82, 'x');
    await twice;
    expect(await warned).toMatchObject({ code: 'STT_CALLBACK' });
  });

  test('types and arguments that cannot be are refused', async () => {
    const { session } = await pair();
    for (const type of [0x7f, 0xff, 0, -1, 0x80 + 0.5, '128', undefined]) {
      await expect(session.sendFrame(type as number, 'x')).rejects.toThrow(SttOptionError);
      expect(() => session.onFrame(type as number, () => {})).toThrow(SttOptionError);
    }
    expect(() => session.onFrame(0x80, undefined as never)).toThrow(SttOptionError);
    await expect(session.sendFrame(0x80, 7 as unknown as string)).rejects.toThrow(SttOptionError);
    const long = new Uint8Array(65_508);
    await expect(session.sendFrame(0x80, long)).rejects.toThrow(SttOptionError);
    await session.close();
    await expect(session.sendFrame(0x80, 'x')).rejects.toMatchObject({ code: 0x0201 });
  });
});
