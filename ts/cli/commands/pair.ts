import { setImmediate } from 'node:timers/promises';
import type { SttListener, SttSession } from '../../index.ts';
import { generateSeed, isSttError, SttEndpoint } from '../../index.ts';
import { inCommandWords } from '../command-words.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { NodeSecret } from '../node-seed.ts';
import { loadNodeSecret } from '../node-seed.ts';
import type { Output } from '../output.ts';
import type { Invitation } from '../pairing/secret.ts';
import { makeSecret, parseInvitation, seedOf } from '../pairing/secret.ts';
import { introduceSelf } from '../pairing/self.ts';
import { Invitations, isClockFault } from '../pairing/show.ts';
import type { Gift, Introduction } from '../pairing/talk.ts';
import { TAKEN, Talk, WORD_TIMEOUT_MS } from '../pairing/talk.ts';
import { addPeer, parsePeerName, peerNameFrom, readPeers } from '../peers/book.ts';
import { withDefaultPort } from '../peers/resolve.ts';
import { promptSecret } from '../prompt.ts';
import { defaultSeedFile, readSeedIfAny, writeSeedFile } from '../seed-file.ts';
import type { Signals } from '../signals.ts';
import { quote } from '../transfer/names.ts';
import { formatDuration } from '../units.ts';

/** Options of both sides of `stt pair`, parsed. */
interface PairOptions {
  /** What the other machine is to be called here. */
  readonly as: string | undefined;
  readonly seedFile: string | undefined;
  readonly nodeSeedFile: string | undefined;
  readonly signals: Signals;
}

/** Options of the side that shows the words. */
export interface ShowOptions extends PairOptions {
  readonly host: string;
  readonly port: number;
  /** Milliseconds after which nobody is waited for any more. */
  readonly expires: number;
  readonly qr: boolean;
  /** Whether the secret is shown where no terminal is. */
  readonly print: boolean;
}

/** Options of the side that types them. */
export interface JoinOptions extends PairOptions {
  /** `HOST`, `HOST:PORT` or `[IPV6]:PORT`; undefined where a ticket is to say it. */
  readonly address: string | undefined;
  /** Whether a seed that is there already may be set aside. */
  readonly replace: boolean;
  readonly connectTimeout: number;
}

/** Shows words and a ticket, and gives the seed to the one who brings them. */
export async function showPairing(options: ShowOptions, output: Output): Promise<void> {
  const { signals, expires } = options;
  const as = checkedName(options.as);
  if (!process.stderr.isTTY && !options.print) {
    throw new CliError(
      ExitCode.Usage,
      'the words of a pairing are shown on a terminal, and there is none: in a log they would outlast it.',
      'run it in a terminal, or say --print to have them on stderr all the same.',
    );
  }
  // One that cannot be read is found before a seed is made, or crosses.
  await readPeers();
  const seed = await ownSeed(options, output);
  const secret = await loadNodeSecret(options.nodeSeedFile, output);
  const self = await introduceSelf(secret, seed);
  const invitation = makeSecret();
  const { host, port } = options;
  // A node seed of its own, from chance: nobody is to know this endpoint again.
  const endpoint = await SttEndpoint.create({ sharedSeed: seedOf(invitation), host, port });
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(new ExpiredError(expires)), expires);
  const signal = AbortSignal.any([signals.ending, late.signal]);
  try {
    const listener = endpoint.listen();
    await listener.ready;
    const invitations = new Invitations(endpoint, invitation, options, output);
    invitations.show(self.hosts);
    const stop = (): void => listener.close();
    signal.addEventListener('abort', stop, { once: true });
    const peer = await firstOf(listener, { ...self, seed }, as, output);
    if (peer === undefined) throw signal.reason;
    report(peer, output);
  } finally {
    clearTimeout(timer);
    await endpoint.close();
  }
}

/** Takes the seed of the one who shows the words. */
export async function joinPairing(options: JoinOptions, output: Output): Promise<void> {
  const as = checkedName(options.as);
  // One that cannot be read is found before a seed is made, or crosses.
  await readPeers();
  const { ending: signal } = options.signals;
  const secret = await loadNodeSecret(options.nodeSeedFile, output);
  const invitation = parseInvitation(await askForInvitation(signal));
  const endpoint = await SttEndpoint.create({ sharedSeed: seedOf(invitation.secret) });
  const abort = (): void => endpoint.destroy();
  signal.addEventListener('abort', abort, { once: true });
  let met: SttSession | undefined;
  try {
    const { session, host } = await reach(endpoint, invitation, options);
    met = session;
    const peer = await take(session, host, as, secret, options, output);
    await session.close({ timeout: WORD_TIMEOUT_MS }).catch(() => undefined);
    report(peer, output);
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    throw (await cameSecond(met)) ?? wrongWords(error);
  } finally {
    signal.removeEventListener('abort', abort);
    await endpoint.close();
  }
}

/** A machine that has been paired. */
interface Paired {
  readonly name: string;
  readonly nodeId: string;
  readonly hosts: readonly string[];
}

/**
 * The first who comes to the end of the conversation. They are heard side by side, as one that says nothing must not
 * keep the others waiting, but only one at a time is given the seed.
 */
async function firstOf(
  listener: SttListener,
  self: Gift,
  as: string | undefined,
  output: Output,
): Promise<Paired | undefined> {
  let found: Paired | undefined;
  let failure: { readonly error: unknown } | undefined;
  const over = new AbortController();
  let turn: Promise<unknown> = Promise.resolve();
  const conversations = new Set<Promise<unknown>>();
  const inTurn = (step: () => Promise<Paired | undefined>): Promise<Paired | undefined> => {
    const mine = turn.then(async () => {
      if (found !== undefined) return undefined;
      found = await step();
      return found;
    });
    turn = mine.catch(() => undefined);
    return mine;
  };
  for await (const session of listener) {
    const conversation: Promise<unknown> = give(session, self, as, inTurn, over.signal, output)
      .then(
        (peer) => peer !== undefined,
        (error: unknown) => {
          failure ??= { error };
          return true;
        },
      )
      .then((end) => {
        if (!end) return;
        listener.close();
        over.abort(found === undefined ? undefined : TAKEN);
      })
      .finally(() => conversations.delete(conversation));
    conversations.add(conversation);
  }
  // Its time is up, or it has been done: who still talks is not waited for.
  over.abort();
  await Promise.all(conversations);
  if (found === undefined && failure !== undefined) throw failure.error;
  return found;
}

/** One who knows the words: undefined when it went, or could not keep what it was given. */
async function give(
  session: SttSession,
  self: Gift,
  as: string | undefined,
  inTurn: (step: () => Promise<Paired | undefined>) => Promise<Paired | undefined>,
  over: AbortSignal,
  output: Output,
): Promise<Paired | undefined> {
  const limit = AbortSignal.any([over, AbortSignal.timeout(WORD_TIMEOUT_MS)]);
  const abort = (): void => {
    session.destroy(limit.reason === TAKEN ? TAKEN : 'the pairing took too long');
  };
  limit.addEventListener('abort', abort, { once: true });
  try {
    const talk = await Talk.accept(session);
    if (talk === undefined) return undefined;
    const peer = await talk.hearIntroduction();
    let heard = false;
    const paired = await inTurn(async () => {
      heard = true;
      await talk.say(self);
      const { ok, why } = await talk.hearVerdict();
      if (!ok) {
        output.note(`the other machine did not take the seed: ${quote(why)}`);
        return undefined;
      }
      const paired = await remember(peer, session.remoteAddress.address, as);
      // The other side has all it needs: that it hears so is a courtesy.
      await talk.say({ ok: true, why: '' }).catch(() => undefined);
      await talk.end().catch(() => undefined);
      return paired;
    });
    // Its turn did not come: another one's was the last.
    if (!heard) session.destroy(TAKEN);
    return paired;
  } catch (error) {
    if (over.aborted) return undefined;
    // Whatever it was, somebody else, or the same again, may still come.
    if (error instanceof CliError || isSttError(error)) {
      output.note(`a pairing came to nothing: ${inCommandWords(error.message)}`);
      return undefined;
    }
    throw error;
  } finally {
    limit.removeEventListener('abort', abort);
    await session.close({ timeout: WORD_TIMEOUT_MS }).catch(() => undefined);
  }
}

async function take(
  session: SttSession,
  host: string,
  as: string | undefined,
  secret: NodeSecret,
  options: JoinOptions,
  output: Output,
): Promise<Paired> {
  const limit = AbortSignal.timeout(WORD_TIMEOUT_MS);
  const abort = (): void => session.destroy('the pairing took too long');
  limit.addEventListener('abort', abort, { once: true });
  try {
    const talk = await Talk.open(session, limit);
    // Any seed will do for that: the id comes from the machine's own secret.
    await talk.say(await introduceSelf(secret, generateSeed()));
    const gift = await talk.hearGift();
    try {
      await keepSeed(gift.seed, options);
    } catch (error) {
      await talk.say({ ok: false, why: error instanceof Error ? error.message : 'it failed' });
      await talk.end().catch(() => undefined);
      throw error;
    }
    const peer = await remember(gift, host, as);
    await talk.say({ ok: true, why: '' });
    // Nothing is missing here any more: the rest is the other side's.
    await talk.hearVerdict().catch(() => {
      output.note('the other machine may not have this one in its list; pair again if so');
    });
    await talk.end().catch(() => undefined);
    return peer;
  } finally {
    limit.removeEventListener('abort', abort);
  }
}

async function remember(
  { name: suggestion, nodeId, port, hosts }: Introduction,
  met: string,
  as: string | undefined,
): Promise<Paired> {
  const known = [met, ...hosts.filter((host) => host !== met)];
  const name = await addPeer({
    name: as ?? peerNameFrom(suggestion, nodeId),
    nodeId,
    hosts: known,
    port,
    pairedAt: Date.now(),
  });
  return { name, nodeId, hosts: known };
}

/** Writes the seed down, unless it is there. Another one is set aside with `--replace` alone. */
async function keepSeed(seed: string, { seedFile, replace }: JoinOptions): Promise<void> {
  const path = seedFile ?? process.env['STT_SEED_FILE'] ?? defaultSeedFile();
  const before = await readSeedIfAny(path);
  if (before !== undefined && asHex(before) === seed) return;
  if (before !== undefined && !replace) {
    throw new CliError(
      ExitCode.Configuration,
      `this machine has another seed already, in ${path}.`,
      'keep it and name another file with --seed-file, or say --replace to set it aside.',
    );
  }
  await writeSeedFile(path, seed, { setAside: before !== undefined });
}

/** The seed of this machine; one is made where there is none. */
async function ownSeed({ seedFile }: ShowOptions, output: Output): Promise<string> {
  const path = seedFile ?? process.env['STT_SEED_FILE'] ?? defaultSeedFile();
  const there = await readSeedIfAny(path);
  if (there !== undefined) {
    const found = asHex(there);
    if (found !== undefined) return found;
    throw new CliError(
      ExitCode.Configuration,
      `the seed in ${path} is not one of 32 bytes.`,
      'make one with "stt keygen".',
    );
  }
  const seed = Buffer.from(generateSeed()).toString('hex');
  await writeSeedFile(path, seed);
  output.note(`made a seed for this network: ${path}`);
  return seed;
}

/** A seed in either form of a seed file, in the one that crosses; undefined where it is not one of 32 bytes. */
function asHex(text: string): string | undefined {
  if (/^[0-9a-f]{64}$/i.test(text)) return text.toLowerCase();
  const bytes = Buffer.from(text, 'base64url');
  return bytes.length === 32 ? bytes.toString('hex') : undefined;
}

async function reach(
  endpoint: SttEndpoint,
  { addresses, nodeId = 'any' }: Invitation,
  { address, connectTimeout, signals }: JoinOptions,
): Promise<{ session: SttSession; host: string }> {
  const candidates = address === undefined ? addresses : [withDefaultPort(address)];
  if (candidates.length === 0) {
    throw new CliError(
      ExitCode.Usage,
      'the words do not say where the other machine is.',
      'give its address, as "stt pair HOST", or paste the ticket.',
    );
  }
  // All at once: of a machine's addresses some lead nowhere, and the first that answers is as good as any.
  const others = new AbortController();
  const signal = AbortSignal.any([signals.ending, others.signal]);
  const attempts = candidates.map(async (candidate) => {
    const session = await endpoint.connect(candidate, {
      peerNodeId: nodeId,
      timeout: connectTimeout,
      transport: 'udp',
      signal,
    });
    return { session, host: hostOf(candidate) };
  });
  try {
    const first = await Promise.any(attempts);
    for (const attempt of attempts) {
      attempt.then(
        ({ session }) => (session === first.session ? undefined : session.destroy()),
        () => undefined,
      );
    }
    return first;
  } catch (error) {
    throw error instanceof AggregateError ? error.errors[0] : error;
  } finally {
    others.abort();
  }
}

async function askForInvitation(signal: AbortSignal): Promise<string> {
  if (process.stdin.isTTY) return promptSecret('The twelve words, or the ticket: ', signal);
  let text = '';
  for await (const chunk of process.stdin) {
    text += String(chunk);
    if (text.includes('\n') || text.length > 4_096) break;
  }
  return text.split('\n')[0] ?? '';
}

function checkedName(as: string | undefined): string | undefined {
  if (as === undefined) return undefined;
  const name = parsePeerName(as);
  if (name !== undefined) return name;
  throw new CliError(
    ExitCode.Usage,
    '--as is no name for a peer.',
    'write up to 63 letters, digits, dots, dashes and underscores, beginning with a letter or digit.',
  );
}

/** That the other side ended the session because it has been paired with another machine, if it did. */
async function cameSecond(session: SttSession | undefined): Promise<CliError | undefined> {
  const end = await Promise.race([session?.settled, setImmediate(undefined)]);
  if (end?.initiator !== 'remote' || end.message !== TAKEN) return undefined;
  return new CliError(
    ExitCode.Interrupted,
    'another machine was quicker: it has been paired with these words, and this one has not.',
    'run "stt pair" there again for new words; if you do not know that machine, somebody has read them, and its seed is to be changed.',
  );
}

/** The peer's seed is made of the words: what says "another seed" means other words, but for clocks that differ. */
function wrongWords(error: unknown): unknown {
  if (isClockFault(error)) {
    const { clockSkew } = error.context;
    const off =
      clockSkew === undefined
        ? 'too much'
        : `by ${formatDuration(Math.abs(clockSkew))}: the other one's is ${clockSkew > 0 ? 'ahead' : 'behind'}`;
    return new CliError(
      ExitCode.Configuration,
      `the clocks of the two machines differ ${off}.`,
      'set both clocks, by NTP as with "timedatectl set-ntp true", then pair again.',
      { cause: error },
    );
  }
  if (!isSttError(error, 'AUTHENTICATION_FAILED')) return error;
  return new CliError(
    ExitCode.Configuration,
    'the words are those of another pairing.',
    'type the ones that the other machine shows now; they are new each time.',
    { cause: error },
  );
}

class ExpiredError extends CliError {
  constructor(expires: number) {
    super(
      ExitCode.Unreachable,
      `nobody brought the words within ${formatDuration(expires)}.`,
      'run "stt pair" again; it shows new ones.',
    );
  }
}

function report({ name, nodeId, hosts }: Paired, output: Output): void {
  output.result('paired', { name, nodeId, hosts }, `paired with ${name}\nnode id ${nodeId}`);
  output.note(`Send it a file: stt recv there, stt send FILE ${name} here`);
}

function hostOf(address: string): string {
  const match = /^(?:stt:\/\/)?(?:\[([^\]]+)\]|([^:/]+))/.exec(address);
  return match?.[1] ?? match?.[2] ?? address;
}
