import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { bench } from './commands/bench.ts';
import { benchListen } from './commands/bench-listen.ts';
import { doctor } from './commands/doctor.ts';
import { ping } from './commands/ping.ts';
import { ExitCode } from './exit-codes.ts';
import { CliError } from './failure.ts';
import type { CallFlags, CommonOptions } from './flags.ts';
import {
  common,
  durationOption,
  EVERYWHERE,
  parseListen,
  peerArgument,
  peerIdOption,
  seeds,
  timeoutOption,
  transportOption,
} from './flags.ts';
import type { Place } from './listening.ts';
import type { Output } from './output.ts';
import { DEFAULT_PORT } from './peers/resolve.ts';
import type { Signals } from './signals.ts';

interface PingFlags extends CallFlags {
  count: number;
  interval: number;
  wait: number;
}

interface DoctorFlags extends CallFlags {
  websocket?: string;
}

interface BenchFlags extends CallFlags {
  listen?: Place | true;
  websocket?: Place | true;
  maxSeconds: number;
  seconds: number;
  warmUp: number;
}

/** Registers what tells how a peer is reached: `ping`, `bench`, `doctor`. */
export function registerLooking(
  program: Command,
  outputFor: (options: CommonOptions) => Output,
  signals: Signals,
): void {
  seeds(common(program.command('ping')))
    .description(
      'measure the way to whatever listens at a peer: round trips, loss, the carrier in use',
    )
    .addArgument(peerArgument('<peer>'))
    .option('-c, --count <number>', 'how many; 0 goes on until Ctrl-C', parseCount, 4)
    .addOption(durationOption('-i, --interval <duration>', 'from one to the next', 1_000))
    .addOption(
      durationOption(
        '-W, --wait <duration>',
        'after this long without an answer one is lost',
        2_000,
      ),
    )
    .addOption(peerIdOption())
    .addOption(timeoutOption())
    .addOption(transportOption())
    .action(async (peer: string, options: PingFlags) => {
      const { peerId, count, interval, wait, timeout, transport, seedFile } = options;
      await ping(
        {
          peer,
          peerId,
          count,
          interval,
          wait,
          connectTimeout: timeout,
          transport,
          seedFile,
          signals,
        },
        outputFor(options),
      );
    });

  seeds(common(program.command('bench')))
    .description('measure what the way to a peer carries, in both directions, and what it costs')
    .usage('[options] <peer>\n       stt bench --listen [[host:]port] [options]')
    .addArgument(peerArgument('[peer]'))
    .option(
      '--listen [[host:]port]',
      `be what others measure with, one at a time, until Ctrl-C (default port ${DEFAULT_PORT})`,
      parseListen,
    )
    .option(
      '--websocket [[host:]port]',
      'with --listen: take WebSockets as well (default: where --listen says)',
      parseListen,
    )
    .addOption(
      durationOption(
        '--max-seconds <duration>',
        'with --listen: longest time that one direction is measured',
        60_000,
      ),
    )
    .addOption(durationOption('--seconds <duration>', 'how long each direction is measured', 5_000))
    .addOption(durationOption('--warm-up <duration>', 'how long bytes flow before that', 1_000))
    .addOption(peerIdOption())
    .addOption(timeoutOption())
    .addOption(transportOption())
    .action(async (peer: string | undefined, options: BenchFlags) => {
      const { listen, websocket = false, seedFile, nodeSeedFile } = options;
      const output = outputFor(options);
      if ((listen === undefined) === (peer === undefined)) {
        throw new CliError(
          ExitCode.Usage,
          'error: either a peer or --listen is needed.',
          'write "stt bench --listen" on one machine, and "stt bench PEER" on the other.',
        );
      }
      if (peer === undefined) {
        const place = listen === true || listen === undefined ? EVERYWHERE : listen;
        const maxMs = options.maxSeconds;
        await benchListen({ ...place, websocket, maxMs, seedFile, nodeSeedFile, signals }, output);
        return;
      }
      const { peerId, seconds: ms, warmUp: warmUpMs, timeout, transport } = options;
      await bench(
        { peer, peerId, ms, warmUpMs, connectTimeout: timeout, transport, seedFile, signals },
        output,
      );
    });

  seeds(common(program.command('doctor')))
    .description(
      'find out why a peer is not reached: name, route, UDP, TLS, WebSocket, version, seed, clock, peer id, size of datagrams',
    )
    .addArgument(peerArgument('<peer>'))
    .option(
      '--peer-id <id>',
      'node id that the other side should have (default: that of a peer with a name, else any)',
    )
    .option(
      '--websocket <url>',
      'where its WebSocket should be, ws://HOST:PORT/PATH or wss://... (default: ws at the same port, which may as well be missing)',
    )
    .addOption(timeoutOption('longest wait for each carrier', 5_000))
    .addOption(transportOption('carrier to look at'))
    .action(async (peer: string, options: DoctorFlags) => {
      const { peerId, websocket, timeout, transport, seedFile } = options;
      await doctor(
        { peer, peerId, websocket, timeout, transport, seedFile, signals },
        outputFor(options),
      );
    });
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Write a whole number.');
  return count;
}
