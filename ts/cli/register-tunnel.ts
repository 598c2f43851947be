import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import type { TunnelOptions } from './commands/tunnel.ts';
import { forward, serveTunnel } from './commands/tunnel.ts';
import { ExitCode } from './exit-codes.ts';
import { CliError } from './failure.ts';
import type { Carrier, CommonOptions } from './flags.ts';
import {
  common,
  durationOption,
  EVERYWHERE,
  parseListen,
  peerIdOption,
  seeds,
  timeoutOption,
} from './flags.ts';
import { SuggestingArgument } from './help/tree.ts';
import type { Place } from './listening.ts';
import type { Output } from './output.ts';
import { DEFAULT_PORT } from './peers/resolve.ts';
import type { Signals } from './signals.ts';
import { DEFAULT_DRAIN_MS } from './signals.ts';
import type { AllowRule } from './tunnel/allow-list.ts';
import { parseAllow } from './tunnel/allow-list.ts';
import { parseLocal, parseRemote } from './tunnel/target.ts';

interface TunnelFlags extends CommonOptions {
  serve?: true;
  listen?: Place;
  websocket?: Place | true;
  allow?: AllowRule[];
  peerId?: string;
  transport?: Carrier;
  maxConnections: number;
  outage: number;
  timeout: number;
  drain: number;
}

/** Registers `tunnel`, both its sides. */
export function registerTunnel(
  program: Command,
  outputFor: (options: CommonOptions) => Output,
  signals: Signals,
): void {
  seeds(common(program.command('tunnel')))
    .description(
      'carry TCP connections to a port of this machine over one session to another machine, which makes them there',
    )
    .usage(
      '[options] <[host:]port> <peer:host:port>\n       stt tunnel --serve --allow <host:port>',
    )
    .argument('[local]', 'where to take connections, as 8080, 127.0.0.1:8080 or *:8080')
    .addArgument(
      new SuggestingArgument(
        '[remote]',
        `the peer and what it is to connect to, as NAME:localhost:80 or 192.0.2.7:${DEFAULT_PORT}:db:5432`,
        { peers: true },
      ),
    )
    .option('--serve', 'be the far side: make the connections that are asked for')
    .option(
      '--allow <host:port>',
      'with --serve: what may be connected to, as localhost:80, db:5432-5439 or [::1]:*; again for more (default: nothing)',
      collectAllow,
    )
    .option(
      '--listen <[host:]port>',
      `with --serve: where to listen (default: 0.0.0.0:${DEFAULT_PORT})`,
      parseListen,
    )
    .option(
      '--websocket [[host:]port]',
      'with --serve: take WebSockets as well, for peers that no UDP reaches (default: where --listen says)',
      parseListen,
    )
    .addOption(peerIdOption())
    .addOption(
      new Option('--transport <kind>', 'carrier to use (default: auto)').choices([
        'auto',
        'udp',
        'websocket',
      ]),
    )
    .option('--max-connections <number>', 'most connections at a time', parseConnections, 256)
    .addOption(
      durationOption(
        '--outage <duration>',
        'how long the other side may be silent before the connections are given up',
        120_000,
      ),
    )
    .addOption(timeoutOption('longest wait for the session; with --serve for what is connected to'))
    .addOption(
      durationOption(
        '--drain <duration>',
        'how long SIGTERM lets connections go on to their end',
        DEFAULT_DRAIN_MS,
      ),
    )
    .action(async (local: string | undefined, remote: string | undefined, flags: TunnelFlags) => {
      const { maxConnections, outage, drain, timeout, seedFile, nodeSeedFile } = flags;
      const both: TunnelOptions = {
        maxConnections,
        outage,
        drain,
        connectTimeout: timeout,
        seedFile,
        nodeSeedFile,
        signals,
      };
      if (flags.serve === true) {
        refuseFlags(flags, ['peerId', 'transport'], '--serve');
        if (local !== undefined) throw usage('what is carried is said on the other machine.');
        const { listen = EVERYWHERE, allow = [], websocket = false } = flags;
        await serveTunnel({ ...both, ...listen, allow, websocket }, outputFor(flags));
        return;
      }
      refuseFlags(flags, ['allow', 'listen', 'websocket'], 'the side that takes connections');
      if (local === undefined || remote === undefined)
        throw usage('a port here and PEER:HOST:PORT are needed, or --serve.');
      const [from, to] = [parseLocal(local), parseRemote(remote)];
      if (from === undefined) throw usage(`${local} is no port of this machine.`);
      if (to === undefined) throw usage(`${remote} is no PEER:HOST:PORT.`);
      const { peerId, transport = 'auto' } = flags;
      await forward({ ...both, local: from, ...to, peerId, transport }, outputFor(flags));
    });
}

function collectAllow(text: string, before: AllowRule[] = []): AllowRule[] {
  const rule = parseAllow(text);
  if (rule === undefined) {
    throw new InvalidArgumentError('Write HOST:PORT, HOST:LOW-HIGH or HOST:*, of one host.');
  }
  return [...before, rule];
}

function parseConnections(text: string): number {
  const count = Number(text);
  if (!/^\d{1,5}$/.test(text) || count < 1 || count > 60_000) {
    throw new InvalidArgumentError('Write a number from 1 to 60000.');
  }
  return count;
}

function refuseFlags(
  flags: TunnelFlags,
  names: readonly (keyof TunnelFlags)[],
  with_: string,
): void {
  const name = names.find((option) => flags[option] !== undefined);
  if (name === undefined) return;
  const option = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  throw usage(`${option} does not go with ${with_}.`);
}

function usage(message: string): CliError {
  return new CliError(
    ExitCode.Usage,
    `error: ${message}`,
    'write "stt tunnel 8080 PEER:localhost:80" here, "stt tunnel --serve --allow localhost:80" there.',
  );
}
