import { createHash, randomBytes, randomFillSync } from 'node:crypto';
import { mkdtemp, open, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { message, startProcess } from './children.ts';

const GIB = 2 ** 30;
const LIMIT = 128 * 2 ** 20;

test('a reader that stops for 10 s in a transfer of 1 GiB keeps both processes under 128 MiB', {
  timeout: 600_000,
}, async () => {
  const folder = await mkdtemp(join(tmpdir(), 'stt-pressure-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const source = join(folder, 'source');
  const target = join(folder, 'target');
  const expected = await writeRandom(source, GIB);

  const reader = startProcess('reader', onTestFinished);
  const sharedSeed = randomBytes(32);
  reader.send({ start: { sharedSeed, path: target, pauseAfter: 64 * 2 ** 20, pauseMs: 10_000 } });
  const { port, nodeId } = await message<{ port: number; nodeId: string }>(reader, 'port', 60_000);
  const writer = startProcess('writer', onTestFinished);
  writer.send({ sharedSeed, port, nodeId, path: source });
  const paused = message<{ paused: number }>(reader, 'paused', 500_000);
  const finished = message<{ written: number; digest: string; peakRss: number }>(
    writer,
    'written',
    500_000,
  );
  await paused;

  const sent = await finished;
  const report = message<{ peakRss: number }>(reader, 'peakRss', 60_000);
  reader.send({ report: true });
  const { peakRss } = await report;
  expect(sent.written).toBe(GIB);
  expect(sent.digest).toBe(expected);
  expect((await stat(target)).size).toBe(GIB);
  expect(sent.peakRss).toBeLessThan(LIMIT);
  expect(peakRss).toBeLessThan(LIMIT);
});

async function writeRandom(path: string, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  const block = Buffer.allocUnsafe(4 * 2 ** 20);
  const file = await open(path, 'wx');
  for (let done = 0; done < bytes; done += block.length) {
    randomFillSync(block);
    hash.update(block);
    await file.writeFile(block);
  }
  await file.close();
  return hash.digest('hex');
}
