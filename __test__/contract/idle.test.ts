import { SessionClosedError } from '@seigr/stt';
import { expect, test } from 'vitest';
import { pair } from './pair.ts';

test('what is first asked for after the end of a session has ended with it', async () => {
  const { session, accepted } = await pair();
  expect(session.stats()).toMatchObject({ unreadDatagrams: 0, pendingBytes: 0 });
  session.destroy();
  expect((await accepted.settled).reason).toBe('error');
  expect((await session.settled).reason).toBe('error');
  await expect(session.closed).rejects.toBeInstanceOf(SessionClosedError);
  const { datagrams } = session;
  await expect(datagrams.send('late')).rejects.toBeInstanceOf(SessionClosedError);
  await expect(datagrams.values().next()).rejects.toBeInstanceOf(SessionClosedError);
  await expect(session.createBidirectionalStream()).rejects.toBeInstanceOf(SessionClosedError);
  await expect(session.ping()).rejects.toBeInstanceOf(SessionClosedError);
});

test('datagrams first asked for after a good end are over without an error', async () => {
  const { session, accepted } = await pair();
  await session.close();
  expect((await accepted.settled).reason).toBe('graceful');
  expect(await accepted.datagrams.values().next()).toEqual({ done: true, value: undefined });
  expect(await accepted.closed).toMatchObject({ reason: 'graceful', initiator: 'remote' });
});

test('what was there once stays the same', async () => {
  const { session } = await pair();
  const { closed, settled, datagrams } = session;
  session.destroy();
  expect(session.closed).toBe(closed);
  expect(session.settled).toBe(settled);
  expect(session.datagrams).toBe(datagrams);
});
