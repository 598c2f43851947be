// The main job, as a person would do it: two real processes, `stt recv` and `stt send`, and a real
// file between them over UDP on loopback. Everything it makes lives in one temporary folder.
import { spawn } from 'node:child_process';
import { createHash, randomFillSync } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const STT = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));
const UNITS = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
const MIB = 2 ** 20;

/** How long the receiver may take to listen, and to end once the sender has. */
const STEP_TIMEOUT_MS = 30_000;

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '256M' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) {
  console.log('npm run demo [-- --size 256M] [--json]');
} else {
  process.exitCode = await main();
}

async function main() {
  const bytes = parseSize(values.size);
  if (bytes === undefined) {
    say(`--size ${values.size}: write bytes, or a number with K, M or G, as in 64M.`);
    return 2;
  }
  const folder = await mkdtemp(join(tmpdir(), 'stt-demo-'));
  const children = new Set();
  const endAll = () => {
    for (const child of children) child.kill('SIGTERM');
  };
  process.once('SIGINT', endAll).once('SIGTERM', endAll);
  try {
    return await demonstrate(folder, bytes, children);
  } catch (error) {
    say(`demo failed: ${error.message}`);
    return 1;
  } finally {
    endAll();
    await rm(folder, { recursive: true, force: true });
  }
}

async function demonstrate(folder, bytes, children) {
  const source = join(folder, 'demo.bin');
  const inbox = join(folder, 'inbox');
  const seedFile = join(folder, 'seed');
  await mkdir(inbox);
  // The node ids of a demonstration are not those of whoever tries it.
  process.env.XDG_STATE_HOME = join(folder, 'state');

  say(`making ${(bytes / MIB).toFixed(0)} MiB of random bytes ...`);
  const expected = await writeRandomFile(source, bytes);
  await run(children, 'keygen', ['keygen', '--out', seedFile, '--quiet'], { stdout: 'ignore' })
    .done;

  say('starting "stt recv" and "stt send", two processes that share one seed ...');
  const receiver = run(children, 'recv', [
    'recv',
    inbox,
    '--listen',
    '127.0.0.1:0',
    '--seed-file',
    seedFile,
    '--json',
  ]);
  const received = collect(receiver);
  const { port, nodeId } = await within(received.first('listening'), 'stt recv to listen');

  const sender = run(children, 'send', [
    'send',
    source,
    `127.0.0.1:${port}`,
    '--peer-id',
    nodeId,
    '--transport',
    'udp',
    '--seed-file',
    seedFile,
    '--json',
  ]);
  const sent = collect(sender, showProgress(bytes));
  await sender.done;
  await within(receiver.done, 'stt recv to end');

  const outcome = sent.last('sent');
  const arrived = received.last('received');
  // Hashed once more here, from the disk, so that nothing rests on what the two processes say.
  const actual = await hashFile(join(inbox, arrived.name));
  const verified =
    actual.sha256 === expected &&
    actual.bytes === bytes &&
    outcome.sha256 === expected &&
    outcome.transport === 'udp';
  const { transport, seconds } = outcome;

  say(`${verified ? 'verified' : 'NOT THE SAME'}: sha256 ${actual.sha256}`);
  say(
    `${(bytes / 1e6 / seconds).toFixed(0)} MB/s goodput (${bytes} bytes in ${seconds.toFixed(2)} s, disk to disk, encrypted, one stream)`,
  );
  if (values.json)
    console.log(
      JSON.stringify({
        transport,
        bytes: actual.bytes,
        sha256: actual.sha256,
        verified,
        seconds,
        processes: 2,
      }),
    );
  return verified ? 0 : 1;
}

/** Starts one `stt` process; `done` rejects when it ends with anything but 0. */
function run(children, name, args, { stdout = 'pipe' } = {}) {
  const child = spawn(process.execPath, [STT, ...args], { stdio: ['ignore', stdout, 'inherit'] });
  children.add(child);
  const done = new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => {
      children.delete(child);
      if (code === 0) resolve();
      else reject(new Error(`stt ${name} ended with ${signal ?? `code ${code}`}`));
    });
  });
  // Awaited later; a failure in between must not count as unhandled.
  done.catch(() => undefined);
  return { child, done };
}

/** Gathers the JSON lines of a process. */
function collect({ child, done }, onRecord = () => undefined) {
  const records = [];
  const waiting = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const record = JSON.parse(line);
    records.push(record);
    onRecord(record);
    for (const waiter of waiting) waiter(record);
  });
  return {
    first: (event) =>
      Promise.race([
        new Promise((resolve) =>
          waiting.push((record) => record.event === event && resolve(record)),
        ),
        done.then(() => Promise.reject(new Error(`it ended without saying "${event}"`))),
      ]),
    last: (event) => {
      const record = records.findLast((candidate) => candidate.event === event);
      if (record === undefined) throw new Error(`nothing was reported as ${event}`);
      return record;
    },
  };
}

/** A line that renews itself on a terminal, a line every tenth of the way elsewhere. */
function showProgress(total) {
  let tenth = 0;
  return ({ event, bytes, bytesPerSecond }) => {
    if (event !== 'progress' && event !== 'sent') return;
    const share = total === 0 ? 1 : bytes / total;
    const rate = event === 'progress' ? `, ${(bytesPerSecond / 1e6).toFixed(0)} MB/s` : '';
    const text = `  ${(bytes / MIB).toFixed(0)} of ${(total / MIB).toFixed(0)} MiB (${Math.floor(share * 100)} %)${rate}`;
    if (process.stderr.isTTY) {
      const width = 28;
      const filled = Math.round(share * width);
      process.stderr.write(
        `\r  [${'='.repeat(filled)}${' '.repeat(width - filled)}]${text}   ${event === 'sent' ? '\n' : ''}`,
      );
    } else if (Math.floor(share * 10) > tenth || event === 'sent') {
      tenth = Math.floor(share * 10);
      process.stderr.write(`${text}\n`);
    }
  };
}

async function within(promise, what) {
  let timer;
  const late = new Promise((_resolve, reject) => {
    timer = setTimeout(
      () => reject(new Error(`waited ${STEP_TIMEOUT_MS / 1_000} s in vain for ${what}`)),
      STEP_TIMEOUT_MS,
    );
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function writeRandomFile(path, bytes) {
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

async function hashFile(path) {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: MIB })) {
    hash.update(chunk);
    bytes += chunk.length;
  }
  return { sha256: hash.digest('hex'), bytes };
}

function parseSize(text) {
  const match = /^(\d+)([KMG]?)(?:i?B)?$/i.exec(text);
  const size = match ? Number(match[1]) * UNITS[match[2].toUpperCase()] : Number.NaN;
  return Number.isSafeInteger(size) ? size : undefined;
}

function say(text) {
  process.stderr.write(`${text}\n`);
}
