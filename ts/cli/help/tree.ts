import type { Command, Option } from 'commander';
import { Argument } from 'commander';

/** What a shell may offer for an argument, which may be something else as well. */
export interface Suggestions {
  /** Names of "stt peers". */
  readonly peers?: true;
  readonly files?: true;
  readonly words?: readonly string[];
}

/** An argument for which a shell can offer something. */
export class SuggestingArgument extends Argument {
  readonly suggestions: Suggestions;

  constructor(name: string, description: string, suggestions: Suggestions) {
    super(name, description);
    this.suggestions = suggestions;
  }
}

/** An option, as completions and the manual page want it. */
export interface OptionInfo {
  /** `-c`, `--count`. */
  readonly flags: readonly string[];
  /** What follows it, `<number>`; undefined where nothing does. */
  readonly value?: string;
  readonly choices: readonly string[];
  readonly description: string;
  /** What holds without it, where that says something. */
  readonly fallback?: string;
}

/** An argument. */
export interface ArgumentInfo {
  readonly name: string;
  readonly required: boolean;
  readonly choices: readonly string[];
  readonly suggestions: Suggestions;
  readonly description: string;
}

/** A command with those below it. */
export interface CommandInfo {
  readonly name: string;
  readonly description: string;
  readonly arguments: readonly ArgumentInfo[];
  readonly options: readonly OptionInfo[];
  readonly commands: readonly CommandInfo[];
}

/** Everything that the parser knows, which is all there is to say of the command line: there is no second list. */
export function describeCommand(command: Command): CommandInfo {
  return {
    name: command.name(),
    description: command.description(),
    arguments: command.registeredArguments.map((argument) => ({
      name: argument.name(),
      required: argument.required,
      choices: argument.argChoices ?? [],
      suggestions: argument instanceof SuggestingArgument ? argument.suggestions : {},
      description: argument.description,
    })),
    options: command.options.filter(({ hidden }) => !hidden).map(describeOption),
    commands: command.commands.map(describeCommand),
  };
}

function describeOption(option: Option): OptionInfo {
  const flags = [option.short, option.long].filter((flag) => flag !== undefined);
  const value = /[<[].*$/.exec(option.flags)?.[0];
  const { defaultValue, defaultValueDescription, description } = option;
  const says = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  const fallback = defaultValueDescription ?? (says ? String(defaultValue) : undefined);
  return {
    flags,
    description,
    choices: option.argChoices ?? [],
    ...(value === undefined ? {} : { value }),
    ...(fallback === undefined ? {} : { fallback }),
  };
}
