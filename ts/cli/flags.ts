import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { SuggestingArgument } from './help/tree.ts';
import type { Place } from './listening.ts';
import { DEFAULT_PORT } from './peers/resolve.ts';
import { DEFAULT_DRAIN_MS } from './signals.ts';
import { formatDuration, parseDuration } from './units.ts';

/** What commander makes of the options that every command has. */
export interface CommonOptions {
  json?: true;
  quiet?: true;
  verbose?: true;
  color: boolean;
  seedFile?: string;
  nodeSeedFile?: string;
}

/** And of those of a transfer. */
export interface TransferOptions extends CommonOptions {
  resumeTimeout: number;
  drain: number;
}

/** Those of a command that calls a peer. */
export interface CallFlags extends CommonOptions {
  peerId?: string;
  timeout: number;
  transport: Carrier;
}

/** What `--transport` takes. */
export type Carrier = 'auto' | 'udp' | 'websocket';

/** Where a listener is unless something else is said. */
export const EVERYWHERE: Place = { host: '0.0.0.0', port: DEFAULT_PORT };

/** How long a transfer that was cut off waits for its other side. */
const DEFAULT_RESUME_TIMEOUT_MS = 10 * 60_000;

/** What every command has. */
export function common(command: Command): Command {
  return command
    .option('--json', 'one JSON object a line on stdout')
    .option('--quiet', 'no remarks and no progress')
    .option('--verbose', 'more remarks')
    .option('--no-color', 'no colours');
}

/** Where a command that speaks to others has its secrets from. */
export function seeds(command: Command): Command {
  return command
    .option(
      '--seed-file <file>',
      'file that holds the shared seed (default: $STT_SEED_FILE, then the seed file of this user)',
    )
    .option(
      '--node-seed-file <file>',
      'file that node ids come from, made if there is none (default: $STT_NODE_SEED_FILE, then that of this user)',
    );
}

/** Whom a command calls. */
export function peerArgument(name: string): SuggestingArgument {
  return new SuggestingArgument(
    name,
    `name of "stt peers", HOST or HOST:PORT (default port ${DEFAULT_PORT})`,
    { peers: true },
  );
}

/** Who the other side has to be. */
export function peerIdOption(): Option {
  return new Option(
    '--peer-id <id>',
    'node id that the other side must have, or "any" for every holder of the seed (default: that of a peer with a name, else any)',
  );
}

/** An option that takes a duration, in milliseconds once parsed, and says what holds without it as a person would. */
export function durationOption(flags: string, description: string, milliseconds?: number): Option {
  const option = new Option(flags, description);
  option.argParser((text) => parseDuration(text, option.long ?? flags));
  if (milliseconds !== undefined) option.default(milliseconds, formatDuration(milliseconds));
  return option;
}

/** Where a command listens. */
export function listenOption(description: string): Option {
  const { host, port } = EVERYWHERE;
  return new Option('--listen <[host:]port>', description)
    .argParser(parseListen)
    .default(EVERYWHERE, `${host}:${port}`);
}

/** How long a connect may take: `milliseconds` unless something else is said. */
export function timeoutOption(
  description = 'longest wait for the connection',
  milliseconds = 10_000,
): Option {
  return durationOption('--timeout <duration>', description, milliseconds);
}

/** Which carrier, `auto` unless something else is said. */
export function transportOption(description = 'carrier to use'): Option {
  return new Option('--transport <kind>', description)
    .choices(['auto', 'udp', 'websocket'] satisfies Carrier[])
    .default('auto' satisfies Carrier);
}

/** What both sides of a transfer have. */
export function transfers(command: Command): Command {
  return seeds(command)
    .addOption(
      durationOption(
        '--resume-timeout <duration>',
        'how long a transfer that was cut off may stand still before it is given up',
        DEFAULT_RESUME_TIMEOUT_MS,
      ),
    )
    .addOption(
      durationOption(
        '--drain <duration>',
        'how long SIGTERM lets a transfer go on to its end',
        DEFAULT_DRAIN_MS,
      ),
    );
}

/** Of what {@link transfers} added. */
export function transferOptions(options: TransferOptions): {
  seedFile: string | undefined;
  nodeSeedFile: string | undefined;
  resumeTimeout: number;
  drain: number;
} {
  const { seedFile, nodeSeedFile, resumeTimeout, drain } = options;
  return { seedFile, nodeSeedFile, resumeTimeout, drain };
}

/** `PORT`, `HOST:PORT` or `[IPV6]:PORT`. */
export function parseListen(text: string): Place {
  const match = /^(?:\[([^\]]+)\]:|([^:]+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw new InvalidArgumentError('Write PORT, HOST:PORT or [IPV6]:PORT.');
  return { host: match[1] ?? match[2] ?? '0.0.0.0', port };
}
