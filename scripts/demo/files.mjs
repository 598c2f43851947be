// What the demo moves, and what it finds on the disk afterwards.
import { createHash, randomFillSync } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';

const MIB = 2 ** 20;

/** Writes bytes that no compression shortens, and returns their SHA-256. */
export async function writeRandomFile(path, bytes) {
  const hash = createHash('sha256');
  const file = await open(path, 'wx');
  try {
    const block = Buffer.allocUnsafe(4 * MIB);
    for (let done = 0; done < bytes; ) {
      const part = block.subarray(0, Math.min(block.length, bytes - done));
      randomFillSync(part);
      hash.update(part);
      await file.writeFile(part);
      done += part.length;
    }
  } finally {
    await file.close();
  }
  return hash.digest('hex');
}

/** What really stands in a file. */
export async function hashFile(path) {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: MIB })) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), bytes };
}
