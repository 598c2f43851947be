import { expect, test } from 'vitest';
import type { EngineHandlers } from '../../ts/native/engine.ts';
import { dispatch, KINDS, STRIDE } from '../../ts/native/records.ts';

const utf8 = new TextEncoder();

/** What a handler hears of one row. */
function hear(kind: (typeof KINDS)[number], fields: number[], text = ''): unknown[] {
  const rows = new Float64Array(STRIDE * 2);
  rows.set([KINDS.indexOf(kind), ...fields], STRIDE);
  const heard: unknown[] = [];
  const handlers = new Proxy({} as EngineHandlers, {
    get:
      (_, name) =>
      (...args: unknown[]) =>
        heard.push(name, ...args),
  });
  dispatch(handlers, rows, STRIDE, utf8.encode(text));
  return heard;
}

test('a fault carries its code, its cause and its numbers', () => {
  expect(hear('connectFailed', [7, 0, 0, 0x010303, 0x040503, 2, 512, 0])).toEqual([
    'connectFailed',
    7,
    {
      code: 0x0103,
      subcode: 3,
      causeCode: 0x0405,
      causeSubcode: 3,
      detail: { kind: 'waited', ms: 512 },
    },
  ]);
});

test('versions come out of one number in their order', () => {
  const packed = 1 + 2 * 256 + 9 * 65536;
  const [, , fault] = hear('connectFailed', [7, 0, 0, 0x010500, 0, 3, packed, 3]);
  expect(fault).toMatchObject({ detail: { kind: 'versions', versions: [1, 2, 9] } });
});

test('a peer is named by its id and its address', () => {
  const text = `${'n'.repeat(32)}ssssssss::1`;
  expect(hear('connected', [3, 7788, 6, 0, text.length, 1, 0, 0, 0], text)).toEqual([
    'connected',
    3,
    {
      peerNodeId: utf8.encode('n'.repeat(32)),
      sessionId: utf8.encode('ssssssss'),
      address: '::1',
      port: 7788,
      family: 'IPv6',
      initiator: true,
      resumed: false,
      earlyDataStatus: undefined,
      earlyData: undefined,
    },
  ]);
});

test('early data stands behind the address, and what became of it in a number', () => {
  const text = `${'n'.repeat(32)}ssssssss::1`;
  const received = [3, 7788, 6, 0, text.length, 0, 1, 4, 5];
  expect(hear('connected', received, `${text}early`)[2]).toMatchObject({
    address: '::1',
    resumed: true,
    earlyDataStatus: undefined,
    earlyData: utf8.encode('early'),
  });
  for (const [number, earlyDataStatus] of ['accepted', 'rejected', 'unknown'].entries()) {
    const sent = [3, 7788, 6, 0, text.length, 1, 1, number + 1, 0];
    expect(hear('connected', sent, text)[2]).toMatchObject({
      earlyDataStatus,
      earlyData: undefined,
    });
  }
});

test("a ticket is the receiver's to keep", () => {
  const [, session, ticket] = hear('ticket', [3, 2, 4], '..abcd');
  expect([session, ticket]).toEqual([3, utf8.encode('abcd')]);
  expect((ticket as Uint8Array).buffer.byteLength).toBe(4);
});

test('a stream without a name has none', () => {
  const fields = [3, 11, 8, 1, 5, -1, 0, 7, -1];
  expect(hear('streamOpened', fields, 'purpose')).toEqual([
    'streamOpened',
    3,
    11,
    { id: 8, unidirectional: true, priority: 5, purpose: 'purpose' },
  ]);
  fields[5] = 0;
  fields[8] = 250;
  expect(hear('streamOpened', fields, 'purpose')[3]).toMatchObject({ name: 0, deadline: 250 });
});

test('a graceful end has no fault', () => {
  expect(hear('sessionClosed', [3, 0, 1, 12, 0, 3, 0, 0, 0, 0, 0], 'bye')).toEqual([
    'sessionClosed',
    3,
    { reason: 0, remote: true, undelivered: 12, message: 'bye' },
  ]);
});

test('an engine that panicked is told from one that was closed', () => {
  expect(hear('endpointClosed', [0, 0, 0, 0])).toEqual(['endpointClosed', undefined]);
  const [, fault] = hear('endpointClosed', [1, 0, 0, 4], 'boom');
  expect(fault).toMatchObject({ code: 0, message: expect.stringContaining('boom') });
});
