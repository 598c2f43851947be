import { totalmem } from 'node:os';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkConnectOptions, parseNodeId } from '../../ts/connect.ts';
import { resolveTuning } from '../../ts/options.ts';
import { generateSeed, parseSeed } from '../../ts/seeds.ts';
import { checkStreamOptions } from '../../ts/stream/open.ts';

const refused = (option: string) => expect.objectContaining({ name: 'SttOptionError', option });

describe('tuning', () => {
  test('has the documented defaults', () => {
    expect(resolveTuning({}, {})).toMatchObject({
      keepAliveInterval: 10_000,
      keepAliveTimeout: 30_000,
      handshakeTimeout: 10_000,
      maxConcurrentStreams: 256,
      maxConcurrentSessions: 1_024,
      recvBufferSize: 2 ** 21,
      sendBufferSize: 2 ** 21,
      streamRecvBuffer: 2 ** 20,
      maxPendingBytes: 2 ** 26,
      streamIdleTimeout: 0,
      timestampWindow: 120_000,
    });
  });

  test('allows half of the memory that the process may use', () => {
    const { maxMemory } = resolveTuning({}, {});
    expect(maxMemory).toBeGreaterThanOrEqual(2 ** 20);
    expect(maxMemory).toBeLessThanOrEqual(totalmem() / 2);
    expect(resolveTuning({}, { STT_MAX_MEMORY: '5000000' }).maxMemory).toBe(5_000_000);
    expect(resolveTuning({ maxMemory: 2 ** 52 }, {}).maxMemory).toBe(2 ** 52);
  });

  test('an option wins over the environment, and that over the preset', () => {
    const environment = { STT_PRESET: 'highThroughput', STT_RECV_BUFFER_SIZE: '3000000' };
    const tuning = resolveTuning({ streamRecvBuffer: 100_000 }, environment);
    expect(tuning.sendBufferSize).toBe(2 ** 24);
    expect(tuning.recvBufferSize).toBe(3_000_000);
    expect(tuning.streamRecvBuffer).toBe(100_000);
    expect(resolveTuning({ preset: 'balanced' }, environment).sendBufferSize).toBe(2 ** 21);
  });

  test.each([
    ['keepAliveInterval', 0],
    ['keepAliveInterval', Number.NaN],
    ['keepAliveInterval', '1000'],
    ['handshakeTimeout', -1],
    ['handshakeTimeout', Number.POSITIVE_INFINITY],
    ['maxConcurrentSessions', 0],
    ['maxConcurrentSessions', 1.5],
    ['recvBufferSize', 1],
    ['maxMemory', 2 ** 20 - 1],
    ['maxMemory', Number.POSITIVE_INFINITY],
    ['streamRecvBuffer', 2 ** 40],
    ['mtu', 1_199],
    ['mtu', 65_508],
    ['socketBusyPoll', -1],
    ['socketBusyPoll', 1_000_001],
    ['congestion', 'vegas'],
    ['stealth', 'yes'],
    ['noDelay', false],
    ['keepAliveIntervall', 1_000],
    ['preset', 'fast'],
  ])('%s: %j is refused by name', (option, value) => {
    expect(() => resolveTuning({ [option]: value } as never, {})).toThrowError(refused(option));
  });

  test.each([
    ['STT_KEEP_ALIVE_INTERVAL', 'soon'],
    ['STT_MAX_CONCURRENT_STREAMS', '-1'],
    ['STT_PRESET', 'fast'],
  ])('%s=%s is refused by the name of the variable', (variable, value) => {
    expect(() => resolveTuning({}, { [variable]: value })).toThrowError(refused(variable));
  });

  test('socketBusyPoll exists on Linux only', () => {
    expect(resolveTuning({ socketBusyPoll: 0 }, {}).socketBusyPoll).toBe(0);
    const some = () => resolveTuning({ socketBusyPoll: 50 }, {}).socketBusyPoll;
    const own = process.platform;
    const become = (value: string) => Object.defineProperty(process, 'platform', { value });
    onTestFinished(() => void become(own));
    for (const platform of ['darwin', 'win32']) {
      become(platform);
      expect(some).toThrowError(refused('socketBusyPoll'));
    }
    become('linux');
    expect(some()).toBe(50);
  });

  test('a short keepAliveTimeout shortens the interval, unless that was asked for', () => {
    expect(resolveTuning({ keepAliveTimeout: 900 }, {}).keepAliveInterval).toBe(300);
    expect(() => resolveTuning({ keepAliveTimeout: 900, keepAliveInterval: 900 }, {})).toThrowError(
      refused('keepAliveTimeout'),
    );
  });
});

describe('seeds', () => {
  test('are taken as bytes, hex and base64url, and mean the same', () => {
    const seed = generateSeed();
    expect(seed).toHaveLength(32);
    const buffer = Buffer.from(seed);
    expect([...parseSeed('s', buffer.toString('hex'))]).toEqual([...seed]);
    expect([...parseSeed('s', buffer.toString('base64url'))]).toEqual([...seed]);
    expect(parseSeed('s', seed)).toBe(seed);
  });

  test.each([
    ['short bytes', new Uint8Array(31)],
    ['short hex', 'ab'.repeat(31)],
    ['a passphrase', 'correct horse battery staple correct horse battery'],
    ['nothing', undefined],
    ['a number', 32],
  ])('%s: refused, and the error holds nothing of it', (_, input) => {
    const attempt = () => parseSeed('sharedSeed', input);
    expect(attempt).toThrowError(refused('sharedSeed'));
    if (typeof input === 'string') {
      expect(attempt).not.toThrowError(new RegExp(input.slice(0, 12)));
    }
  });
});

describe('connect and stream options', () => {
  test('a node id is required, as hex or bytes, or the word any', () => {
    const id = 'ab'.repeat(32);
    expect(parseNodeId('peerNodeId', id)).toHaveLength(32);
    expect(checkConnectOptions({ peerNodeId: 'any' }, 7)).toEqual({
      peerNodeId: undefined,
      timeout: 7,
      signal: undefined,
      early: false,
      resume: undefined,
      earlyData: undefined,
      transport: 'auto',
      websocket: expect.any(Function),
    });
    for (const bad of [undefined, '', 'ANY', id.slice(2), new Uint8Array(31)]) {
      expect(() => checkConnectOptions({ peerNodeId: bad as never }, 7)).toThrowError(
        refused('peerNodeId'),
      );
    }
    expect(() => checkConnectOptions(undefined as never, 7)).toThrowError(refused('peerNodeId'));
  });

  test('a WebSocket is at the address, unless it is said to be elsewhere', () => {
    const at = (options: object, host = 'peer.example', port = 7_788) => {
      const checked = checkConnectOptions({ peerNodeId: 'any', ...options }, 7);
      return checked.websocket(host, port).url.href;
    };
    expect(at({})).toBe('ws://peer.example:7788/stt');
    expect(at({ tls: true }, '::1', 443)).toBe('wss://[::1]/stt');
    expect(at({ websocket: { url: 'wss://other.example/way' } })).toBe('wss://other.example/way');
    const bad: [string, object][] = [
      ['transport', { transport: 'carrier pigeon' }],
      ['tls', { tls: 'yes' }],
      ['proxy', { proxy: 'socks://proxy:1' }],
      ['proxy', { proxy: 'proxy:8080' }],
      ['websocket', { websocket: 'ws://peer' }],
      ['websocket.url', { websocket: { url: 'https://peer' } }],
      ['websocket.url', { tls: true, websocket: { url: 'ws://peer' } }],
      ['websocket.path', { websocket: { path: '/stt' } }],
    ];
    for (const [option, options] of bad) expect(() => at(options)).toThrowError(refused(option));
  });

  test.each([
    ['purpose', 'é'.repeat(128)],
    ['id', -1],
    ['id', 2 ** 32],
    ['priority', 8],
    ['timeout', Number.NaN],
    ['signal', {}],
    ['deadline', 0.5],
  ])('stream option %s: %j is refused', (option, value) => {
    expect(() => checkStreamOptions({ [option]: value })).toThrowError(refused(option));
  });
});
