import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateSeed, SttEndpoint } from '@seigr/stt';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { resolveLogs } from '../../ts/engine-options.ts';
import { pair, streamPair } from '../contract/pair.ts';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'stt-qlog-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true, force: true });
});

interface QlogRecord {
  readonly name?: string;
  // biome-ignore lint/suspicious/noExplicitAny: each record has data of its own shape
  readonly data: any;
}

/** The records of a JSON text sequence (RFC 7464). */
async function records(file: string): Promise<QlogRecord[]> {
  const text = await readFile(file, 'utf8');
  const parts = text.split('\u001e');
  expect(parts.shift()).toBe('');
  return parts.map((part) => {
    expect(part.at(-1)).toBe('\n');
    return JSON.parse(part) as QlogRecord;
  });
}

async function drain(stream: AsyncIterable<Uint8Array>): Promise<number> {
  let bytes = 0;
  for await (const chunk of stream) bytes += chunk.length;
  return bytes;
}

test('each side of a session has a file, complete when its endpoint has closed', async () => {
  const qlog = { dir: join(dir, 'made', 'for', 'it') };
  const keyLog = join(dir, 'keys.log');
  const both = await pair({ server: { qlog }, client: { qlog, keyLog } });
  const { client, server, session } = both;
  const { opened, incoming } = await streamPair(both);
  const [, arrived] = await Promise.all([
    opened.write(new Uint8Array(100_000)).then(() => opened.close()),
    drain(incoming),
  ]);
  expect(arrived).toBe(100_000);
  await client.close();
  await server.close();

  expect((await readdir(qlog.dir)).sort()).toEqual([
    `${session.id}_client.sqlog`,
    `${session.id}_server.sqlog`,
  ]);
  const sent = await records(join(qlog.dir, `${session.id}_client.sqlog`));
  const received = await records(join(qlog.dir, `${session.id}_server.sqlog`));
  expect(sent[1]).toMatchObject({ name: 'stt:session_started', data: { initiator: true } });
  expect(sent.filter(({ name }) => name === 'stt:session_closed')).toHaveLength(1);
  const bytes = new Set<number>();
  for (const { name, data } of received) {
    if (name !== 'stt:packet_received') continue;
    for (const { frame_type, offset, length } of data.frames) {
      if (frame_type === 'data') for (let i = 0; i < length; i++) bytes.add(offset + i);
    }
  }
  expect(bytes.size).toBe(100_000);

  const keys = (await readFile(keyLog, 'utf8')).trimEnd().split('\n');
  expect(keys.map((line) => line.split(' ')[0])).toEqual([
    'STT_EPHEMERAL',
    'STT_TRAFFIC_SECRET_0',
    'STT_TRAFFIC_SECRET_0',
  ]);
  if (process.platform !== 'win32') expect((await stat(keyLog)).mode & 0o777).toBe(0o600);
});

test('a folder that cannot be made fails the endpoint, and says what to change', async () => {
  const file = join(dir, 'file');
  await writeFile(file, '');
  const options = { sharedSeed: generateSeed(), qlog: { dir: join(file, 'below') } };
  await expect(SttEndpoint.create(options)).rejects.toMatchObject({
    name: 'SttSystemError',
    code: 'ENOTDIR',
    message: expect.stringContaining('qlog.dir'),
  });
});

test('the environment names a folder for qlog, never a key log', () => {
  expect(resolveLogs({}, {})).toEqual({});
  expect(resolveLogs({}, { STT_QLOG_DIR: '' })).toEqual({});
  expect(resolveLogs({}, { STT_QLOG_DIR: '/a', STT_KEY_LOG: '/b' })).toEqual({ qlogDir: '/a' });
  expect(resolveLogs({ qlog: { dir: '/c' } }, { STT_QLOG_DIR: '/a' })).toEqual({ qlogDir: '/c' });
  const refused = (option: string) => expect.objectContaining({ name: 'SttOptionError', option });
  const wrong = (options: object) => () => resolveLogs(options, {});
  expect(wrong({ qlog: 'dir' })).toThrow(refused('qlog'));
  expect(wrong({ qlog: {} })).toThrow(refused('qlog.dir'));
  expect(wrong({ keyLog: '' })).toThrow(refused('keyLog'));
});
