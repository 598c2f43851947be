import { ExitCode } from '../exit-codes.ts';
import type { CommandInfo, OptionInfo } from './tree.ts';

/** What each exit code says, for the manual page. */
const EXIT_STATUS: Readonly<Record<keyof typeof ExitCode, string>> = {
  Done: 'All that was asked for is done.',
  Bug: 'A mistake of stt itself: please report it.',
  Usage: 'The command line was wrong.',
  Unreachable: 'The peer could not be reached; trying again may help.',
  Configuration: 'Seed, peer id, version or clock differ; trying again does not help.',
  Interrupted: 'The connection or the far side failed on the way; a transfer can be resumed.',
  LocalFile: 'A local file, folder or disk refused.',
  HashMismatch: 'What arrived is not what was sent.',
  LocalResource: 'The local port or a local resource is not to be had.',
  Interrupt: 'SIGINT.',
  Terminate: 'SIGTERM.',
};

/** The manual page stt(1), in man(7), from what the parser knows. */
export function manualPage(program: CommandInfo): string {
  const codes = Object.entries(ExitCode) as [keyof typeof ExitCode, number][];
  return `${[
    '.TH STT 1',
    '.SH NAME',
    `stt \\- ${roff(program.description.charAt(0).toLowerCase() + program.description.slice(1).replace(/\.$/, ''))}`,
    '.SH SYNOPSIS',
    '.B stt',
    '.I command',
    '[options]',
    '.SH DESCRIPTION',
    paragraph(
      'Results go to standard output, everything else to standard error. With --json each result is one JSON object a line. A failure is two lines: what happened, and what to try.',
    ),
    '.SH COMMANDS',
    ...program.commands.flatMap((command) => section(command, 'stt')),
    '.SH EXIT STATUS',
    ...codes.flatMap(([name, code]) => ['.TP', `.B ${code}`, paragraph(EXIT_STATUS[name])]),
    '.SH ENVIRONMENT',
    '.TP',
    '.B STT_SEED_FILE',
    paragraph('Names the file of the shared seed.'),
    '.TP',
    '.B STT_NODE_SEED_FILE',
    paragraph('Names the file that node ids come from.'),
    '.TP',
    '.B NO_COLOR',
    paragraph('No colours, if it is set.'),
    '.SH FILES',
    '.TP',
    '.I $XDG_CONFIG_HOME/stt/seed',
    paragraph('The shared seed, readable by its owner alone.'),
    '.TP',
    '.I $XDG_CONFIG_HOME/stt/peers.json',
    paragraph('Machines that this one has been paired with.'),
    '.TP',
    '.I $XDG_STATE_HOME/stt/node-seed',
    paragraph('The secret that node ids come from.'),
  ].join('\n')}\n`;
}

function section(command: CommandInfo, before: string): string[] {
  const name = `${before} ${command.name}`;
  const words = command.arguments.map(({ name: word, required }) =>
    required ? `<${word}>` : `[${word}]`,
  );
  const own = [
    `.SS ${quoted([name, ...words].join(' '))}`,
    paragraph(`${command.description.charAt(0).toUpperCase()}${command.description.slice(1)}.`),
    ...command.arguments.flatMap(({ name: word, description }) =>
      description === '' ? [] : ['.TP', `.I ${roff(word)}`, paragraph(description)],
    ),
    ...command.options.flatMap(entry),
  ];
  return [...own, ...command.commands.flatMap((inner) => section(inner, name))];
}

function entry({ flags, value, description, choices, fallback }: OptionInfo): string[] {
  const head = [flags.join(', '), ...(value === undefined ? [] : [value])].join(' ');
  const more = [
    ...(choices.length > 0 ? [`one of ${choices.join(', ')}`] : []),
    ...(fallback === undefined ? [] : [`default: ${fallback}`]),
  ];
  const text = more.length === 0 ? description : `${description} (${more.join('; ')})`;
  return ['.TP', `.B ${quoted(head)}`, paragraph(text)];
}

/** A line of text: none may begin with what roff takes for a request. */
function paragraph(text: string): string {
  return roff(text).replace(/^[.']/, '\\&$&');
}

function quoted(text: string): string {
  return `"${roff(text).replaceAll('"', '\\(dq')}"`;
}

/** Hyphens are minus signs, to be copied; a backslash is one. */
function roff(text: string): string {
  return text.replaceAll('\\', '\\e').replaceAll('-', '\\-');
}
