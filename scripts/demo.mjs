// The main job, as a person would do it: two real processes, `stt recv` and `stt send`, and a real file between them on
// loopback: over UDP, over a WebSocket, or from the one to the other while it goes on. Everything it makes lives in one
// temporary folder.
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { hashFile, writeRandomFile } from './demo/files.mjs';
import { collect, run, startRelay, within } from './demo/processes.mjs';
import { showProgress } from './demo/progress.mjs';

const UNITS = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 };
const MIB = 2 ** 20;
const USAGE = 'npm run demo [-- --size 256M] [--transport udp|websocket | --handover] [--json]';

/** How much of the file goes through the relay until it is killed, and what each carrier has to bring at least. */
const RELAYED = 0.4;
const LEAST_SHARE = 0.1;

const { values } = parseArgs({
  options: {
    size: { type: 'string', default: '256M' },
    transport: { type: 'string' },
    handover: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});

if (values.help) console.log(USAGE);
else process.exitCode = await main();

async function main() {
  const bytes = parseSize(values.size);
  if (bytes === undefined) {
    say(`--size ${values.size}: write bytes, or a number with K, M or G, as in 64M.`);
    return 2;
  }
  const { handover, transport = 'udp' } = values;
  if (!['udp', 'websocket'].includes(transport) || (handover && values.transport !== undefined)) {
    say(
      `--transport is udp or websocket, and --handover goes from the one to the other:\n${USAGE}`,
    );
    return 2;
  }
  if (handover && bytes < 8 * MIB) {
    say('--handover wants at least 8M: less is through before anything can happen to it.');
    return 2;
  }
  const folder = await mkdtemp(join(tmpdir(), 'stt-demo-'));
  const children = new Set();
  const endAll = () => {
    for (const child of children) child.kill('SIGTERM');
  };
  process.once('SIGINT', endAll).once('SIGTERM', endAll);
  try {
    return await demonstrate({ folder, bytes, children, transport, handover });
  } catch (error) {
    say(`demo failed: ${error.message}`);
    return 1;
  } finally {
    endAll();
    await rm(folder, { recursive: true, force: true });
  }
}

async function demonstrate({ folder, bytes, children, transport, handover }) {
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

  const killed = () => say('\nthe UDP relay between the two is killed now ...');
  const relay = handover ? await startRelay(children, killed) : undefined;
  say('starting "stt recv" and "stt send", two processes that share one seed ...');
  const receiver = run(children, 'recv', [
    'recv',
    inbox,
    '--listen',
    '127.0.0.1:0',
    // A WebSocket is looked for at the number where UDP is: that is the relay's.
    ...(relay === undefined ? [] : ['--websocket', `127.0.0.1:${relay.port}`]),
    ...(transport === 'websocket' ? ['--websocket'] : []),
    '--seed-file',
    seedFile,
    '--json',
  ]);
  const received = collect(receiver);
  const { port, nodeId } = await within(received.next('listening'), 'stt recv to listen');
  relay?.pass(port, bytes * RELAYED);

  const sender = run(children, 'send', [
    'send',
    source,
    `127.0.0.1:${relay?.port ?? port}`,
    '--peer-id',
    nodeId,
    '--transport',
    handover ? 'auto' : transport,
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
    actual.sha256 === expected && actual.bytes === bytes && outcome.sha256 === expected;
  const line = {
    transport: outcome.transport,
    bytes: actual.bytes,
    sha256: actual.sha256,
    verified,
    seconds: outcome.seconds,
    processes: 2,
    ...(handover ? movesOf(sent, outcome, arrived) : {}),
  };
  const faults = verified ? [] : ['what stands on the disk is not what was sent'];
  if (handover) {
    faults.push(...faultsOfHandover(line, await relay.dead));
  } else if (outcome.transport !== transport) {
    faults.push(`it went over ${outcome.transport}`);
  }

  say(`${verified ? 'verified' : 'NOT THE SAME'}: sha256 ${actual.sha256}`);
  say(
    `${(bytes / 1e6 / outcome.seconds).toFixed(0)} MB/s goodput (${bytes} bytes in ${outcome.seconds.toFixed(2)} s, disk to disk, encrypted, one stream)`,
  );
  if (handover) say(describeHandover(line));
  for (const fault of faults) say(`demo failed: ${fault}`);
  if (values.json) console.log(JSON.stringify(line));
  return faults.length === 0 ? 0 : 1;
}

/** What the two processes say of the session: that there was one alone, and where its bytes went. */
function movesOf(sent, outcome, arrived) {
  const ids = new Set([
    ...[...sent.all('session'), ...sent.all('moved')].map(({ sessionId }) => sessionId),
    outcome.sessionId,
    arrived.sessionId,
  ]);
  return {
    moves: outcome.moves,
    reconnects: outcome.reconnects,
    sessionId: [...ids].join(' then '),
    bytesByCarrier: arrived.bytesByCarrier,
  };
}

function faultsOfHandover({ bytes, moves, reconnects, sessionId, bytesByCarrier }, relayEnd) {
  const faults = [];
  if (relayEnd !== 'SIGKILL') faults.push('the relay was not killed: too little went through it');
  if (moves === 0) faults.push('the session never moved');
  if (reconnects !== 0) faults.push(`${reconnects} sessions took the place of the first`);
  if (!/^[0-9a-f]+$/.test(sessionId)) faults.push(`more than one session: ${sessionId}`);
  for (const [carrier, share] of Object.entries(bytesByCarrier)) {
    if (share < bytes * LEAST_SHARE) faults.push(`only ${share} bytes came over ${carrier}`);
  }
  return faults;
}

function describeHandover({ moves, sessionId, bytesByCarrier }) {
  const shares = Object.entries(bytesByCarrier).map(
    ([carrier, share]) => `${(share / MIB).toFixed(0)} MiB over ${carrier}`,
  );
  return `session ${sessionId}: ${shares.join(', ')}; moves: ${moves}, reconnects: 0`;
}

function parseSize(text) {
  const match = /^(\d+)([KMG]?)(?:i?B)?$/i.exec(text);
  const size = match ? Number(match[1]) * UNITS[match[2].toUpperCase()] : Number.NaN;
  return Number.isSafeInteger(size) ? size : undefined;
}

function say(text) {
  process.stderr.write(`${text}\n`);
}
