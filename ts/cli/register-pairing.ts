import type { Command } from 'commander';
import { Option } from 'commander';
import { id } from './commands/id.ts';
import { joinPairing, showPairing } from './commands/pair.ts';
import { forgetPeer, listPeers } from './commands/peers.ts';
import type { CommonOptions } from './flags.ts';
import {
  common,
  durationOption,
  listenOption,
  parseListen,
  seeds,
  timeoutOption,
} from './flags.ts';
import { SuggestingArgument } from './help/tree.ts';
import type { Place } from './listening.ts';
import type { Output } from './output.ts';
import { DEFAULT_PORT } from './peers/resolve.ts';
import type { Signals } from './signals.ts';

interface PairFlags extends CommonOptions {
  listen: Place;
  expires: number;
  qr?: true;
  print?: true;
  as?: string;
  replace?: true;
  timeout: number;
}

/** How long a pairing is open. */
const DEFAULT_EXPIRES_MS = 10 * 60_000;

/** Registers what makes machines known to each other: `pair`, `peers`, `id`. */
export function registerPairing(
  program: Command,
  outputFor: (options: CommonOptions) => Output,
  signals: Signals,
): void {
  seeds(common(program.command('pair')))
    .description("give this machine's seed to another one, or take that of another")
    .argument(
      '[host[:port]]',
      'the machine that shows the words; without it, and without a ticket, this one shows them',
    )
    .option('--join', 'take a ticket, which says itself where the other machine is')
    .addOption(listenOption('where to wait for the other machine'))
    .addOption(
      durationOption('--expires <duration>', 'how long to wait for it', DEFAULT_EXPIRES_MS),
    )
    .option('--qr', 'show the ticket as a QR code as well')
    .option('--print', 'show the words and the ticket on stderr even where that is no terminal')
    .option('--as <name>', 'what to call the other machine here (default: what it calls itself)')
    .option('--replace', 'set aside the seed that this machine has, if it is another one')
    .addOption(timeoutOption())
    .action(async (address: string | undefined, options: PairFlags & { join?: true }) => {
      const { as, seedFile, nodeSeedFile } = options;
      const both = { as, seedFile, nodeSeedFile, signals };
      const output = outputFor(options);
      if (address === undefined && options.join === undefined) {
        const { listen, expires, qr = false, print = false } = options;
        await showPairing({ ...both, ...listen, expires, qr, print }, output);
      } else {
        const { replace = false, timeout: connectTimeout } = options;
        await joinPairing({ ...both, address, replace, connectTimeout }, output);
      }
    });

  const peers = common(program.command('peers'))
    .description('list the machines that this one has been paired with')
    .addOption(
      new Option('--names', 'their names alone, one a line, for scripts').conflicts('json'),
    )
    .action(async (options: CommonOptions & { names?: true }) => {
      await listPeers(options.names ?? false, outputFor(options));
    });
  common(peers.command('rm'))
    .description('forget one')
    .addArgument(new SuggestingArgument('<name>', 'what it is called here', { peers: true }))
    .action(async (name: string, options: CommonOptions) => {
      await forgetPeer(name, outputFor(options));
    });

  seeds(common(program.command('id')))
    .description(
      'say who this machine is to its peers, and which seed it has, in words to compare aloud',
    )
    .option(
      '--port <port>',
      'the port of "stt recv" here',
      (text) => parseListen(text).port,
      DEFAULT_PORT,
    )
    .action(async (options: CommonOptions & { port: number }) => {
      const { port, seedFile, nodeSeedFile } = options;
      await id({ port, seedFile, nodeSeedFile }, outputFor(options));
    });
}
