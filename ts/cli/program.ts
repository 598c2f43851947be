import { Argument, Command, CommanderError, Option } from 'commander';
import { ERROR_TABLE, formatCode } from '../errors/table.ts';
import { completion } from './commands/completion.ts';
import { explain } from './commands/explain.ts';
import { keygen } from './commands/keygen.ts';
import { recv } from './commands/recv.ts';
import { send } from './commands/send.ts';
import { ExitCode } from './exit-codes.ts';
import { CliError } from './failure.ts';
import type { CallFlags, CommonOptions, TransferOptions } from './flags.ts';
import {
  common,
  durationOption,
  listenOption,
  parseListen,
  peerIdOption,
  timeoutOption,
  transferOptions,
  transfers,
  transportOption,
} from './flags.ts';
import type { Shell } from './help/completion.ts';
import { SHELLS } from './help/completion.ts';
import { SuggestingArgument } from './help/tree.ts';
import type { Place } from './listening.ts';
import { Output } from './output.ts';
import { DEFAULT_PORT } from './peers/resolve.ts';
import { registerLooking } from './register-looking.ts';
import { registerPairing } from './register-pairing.ts';
import { registerTunnel } from './register-tunnel.ts';
import type { Signals } from './signals.ts';
import { parseSize } from './units.ts';

/** What a run of the command line needs from its process. */
export interface ProgramContext {
  readonly version: string;
  /** What the process is asked for from outside. */
  readonly signals: Signals;
  /** Told how to speak as soon as the options are known, for failures that come later. */
  readonly onOutput: (output: Output) => void;
}

/** The whole command line: commands, options and their help. */
export function createProgram(context: ProgramContext): Command {
  const program = new Command('stt')
    .description(
      'Moves bytes between machines that share a seed: encrypted, authenticated, over UDP.',
    )
    .version(context.version)
    .exitOverride()
    // Told as any other failure is, by failureOf.
    .configureOutput({ outputError: () => undefined });

  const outputFor = (options: CommonOptions, results?: NodeJS.WritableStream): Output => {
    const output = new Output({
      json: options.json ?? false,
      quiet: options.quiet ?? false,
      verbose: options.verbose ?? false,
      color: options.color && process.env['NO_COLOR'] === undefined,
      ...(results === undefined ? {} : { results }),
    });
    context.onOutput(output);
    return output;
  };

  common(program.command('keygen'))
    .description('make a shared seed for a network')
    .option('--out <file>', 'where to write it (default: the seed file of this user)')
    .option(
      '--from-passphrase',
      'derive it by Argon2id from a passphrase and the name of the network (4 bytes or more), both asked for',
    )
    .addOption(
      new Option(
        '--print',
        'show the seed on stdout; without --out it is written nowhere',
      ).conflicts('json'),
    )
    .action(
      async (options: CommonOptions & { out?: string; fromPassphrase?: true; print?: true }) => {
        await keygen(
          {
            ...(options.out === undefined ? {} : { out: options.out }),
            fromPassphrase: options.fromPassphrase ?? false,
            print: options.print ?? false,
          },
          outputFor(options),
        );
      },
    );

  transfers(common(program.command('recv')))
    .description('receive a file, or folders')
    .argument('[dir]', 'folder that files go to, made if need be, or - for one file to stdout', '.')
    .addOption(listenOption('where to listen'))
    .option(
      '--websocket [[host:]port]',
      'take WebSockets as well, for peers that no UDP reaches (default: where --listen says)',
      parseListen,
    )
    .option('--forever', 'go on after the first file')
    .option(
      '--max-size <size>',
      'most bytes that are taken, of a folder in all, as in 10G',
      (text) => parseSize(text, '--max-size'),
    )
    .addOption(new Option('--overwrite', 'replace a file of the same name').conflicts('rename'))
    .addOption(new Option('--rename', 'keep both by numbering the new one').conflicts('overwrite'))
    .action(
      async (
        folder: string,
        options: TransferOptions & {
          listen: Place;
          websocket?: Place | true;
          forever?: true;
          maxSize?: number;
          overwrite?: true;
          rename?: true;
        },
      ) => {
        const piped = folder === '-';
        if (piped && (options.overwrite === true || options.rename === true)) {
          throw new CliError(
            ExitCode.Usage,
            `${options.overwrite ? '--overwrite' : '--rename'} does not go with "recv -".`,
            'stdout has no name that could be taken.',
          );
        }
        if (piped && (options.json === true || options.forever === true)) {
          throw new CliError(
            ExitCode.Usage,
            `${options.json ? '--json' : '--forever'} does not go with "recv -".`,
            'stdout has room for the bytes of one file alone.',
          );
        }
        await recv(
          {
            folder,
            ...options.listen,
            websocket: options.websocket ?? false,
            forever: options.forever ?? false,
            maxSize: options.maxSize ?? Number.MAX_SAFE_INTEGER,
            collision: options.overwrite ? 'overwrite' : options.rename ? 'rename' : 'refuse',
            ...transferOptions(options),
            signals: context.signals,
          },
          outputFor(options, piped ? process.stderr : undefined),
        );
      },
    );

  transfers(common(program.command('send')))
    .description('send files and folders, or stdin as "-", to a machine that runs "stt recv"')
    .usage('[options] <path...> <peer>')
    .addArgument(
      new SuggestingArgument(
        '<path...>',
        `files and folders to send, or -; and last the peer: name of "stt peers", HOST or HOST:PORT (default port ${DEFAULT_PORT})`,
        { files: true, peers: true },
      ),
    )
    .addOption(peerIdOption())
    .option('--name <name>', 'name to give it there')
    .addOption(
      durationOption('--deadline <duration>', 'give up after this long, as in 1h (default: never)'),
    )
    .option(
      '--no-resume',
      'begin again from the start, and give up at the first break; what stands there is thrown away',
    )
    .addOption(timeoutOption())
    .addOption(transportOption())
    .action(
      async (
        words: string[],
        options: TransferOptions &
          CallFlags & {
            name?: string;
            deadline?: number;
            resume: boolean;
          },
      ) => {
        const peer = words.at(-1);
        if (peer === undefined || words.length < 2) {
          throw new CliError(
            ExitCode.Usage,
            'error: a path and a peer are needed.',
            'write "stt send FILE PEER"; --help has the options.',
          );
        }
        await send(
          {
            paths: words.slice(0, -1),
            peer,
            peerId: options.peerId,
            name: options.name,
            deadline: options.deadline,
            resume: options.resume,
            connectTimeout: options.timeout,
            transport: options.transport,
            ...transferOptions(options),
            signals: context.signals,
          },
          outputFor(options),
        );
      },
    );

  registerPairing(program, outputFor, context.signals);
  registerLooking(program, outputFor, context.signals);
  registerTunnel(program, outputFor, context.signals);

  common(program.command('explain'))
    .description('say what an error means, what causes it, and what to do')
    .addArgument(
      new SuggestingArgument(
        '<code>',
        'code, as 0x0101 or 0x0405_03; name, as CONNECTION_TIMEOUT; reason:timeout; or - to find them in a log on stdin',
        { words: ERROR_TABLE.flatMap(({ code, codeName }) => [formatCode(code), codeName]) },
      ),
    )
    .action(async (query: string, options: CommonOptions) => {
      await explain(query, outputFor(options));
    });

  program
    .command('completion')
    .description('print the script that completes stt in a shell')
    .addArgument(new Argument('<shell>', 'which one').choices(SHELLS))
    .action((shell: Shell) => completion(shell, program));

  return program;
}

/** The failure, if any, that a rejected `parseAsync` stands for; undefined when help or version was shown. */
export function failureOf(error: unknown): unknown {
  if (!(error instanceof CommanderError)) return error;
  if (error.exitCode === 0) return undefined;
  // Without a command commander has shown the help, and says no more.
  const shown = error.code === 'commander.help';
  const message = shown ? 'a command is needed.' : error.message.replace(/\s*\n\s*/g, ' ');
  return new CliError(
    ExitCode.Usage,
    message,
    'the same with --help, for the commands and options.',
  );
}
