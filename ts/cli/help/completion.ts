import type { CommandInfo, OptionInfo } from './tree.ts';

/** Shells for which there is a script. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** One of {@link SHELLS}. */
export type Shell = (typeof SHELLS)[number];

/** A command under the words that lead to it, the program's own name left out. */
interface Place {
  readonly words: readonly string[];
  readonly command: CommandInfo;
}

/** The script that completes `program` in a shell: commands, options, and what an option may be. Files where neither fits. */
export function completionScript(shell: Shell, program: CommandInfo): string {
  const places = walk(program, []);
  switch (shell) {
    case 'bash':
      return bash(places);
    case 'zsh':
      return zsh(places);
    case 'fish':
      return fish(places);
  }
}

function walk(command: CommandInfo, words: readonly string[]): Place[] {
  return [
    { words, command },
    ...command.commands.flatMap((inner) => walk(inner, [...words, inner.name])),
  ];
}

function bash(places: readonly Place[]): string {
  const cases = places.map(({ words, command }) => {
    const flags = [...command.options.flatMap((option) => option.flags), '--help'].join(' ');
    const names = namesOf(command).map(({ name }) => name);
    const { peers, files } = sourcesOf(command);
    const more = `${peers ? ' peers=yes' : ''}${files ? ' files=yes' : ''}`;
    return `    '${words.join(' ')}') names='${names.join(' ')}' flags='${flags}'${more} ;;`;
  });
  const values = withValues(places).map(({ words, flags, choices, files }) => {
    const patterns = flags.map((flag) => `'${[...words, flag].join(' ')}'`).join(' | ');
    return `    ${patterns}) names='${choices.join(' ')}' peers='' files=${files ? 'yes' : "''"} ;;`;
  });
  const known = places
    .filter(({ words }) => words.length > 0)
    .map(({ words }) => `'${words.join(' ')}'`);
  return `# bash completion of stt: source it, or put it into ~/.local/share/bash-completion/completions/stt
_stt() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD - 1]}"
  local command='' names='' flags='' peers='' files='' word try
  # Readline takes --option=value for three words.
  if [[ $current == = ]]; then
    current=''
  elif [[ $before == = ]]; then
    before="\${COMP_WORDS[COMP_CWORD - 2]}"
  fi
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD - 1}"; do
    try="\${command:+$command }$word"
    case "$try" in
    ${known.join(' | ')}) command="$try" ;;
    esac
  done
  case "$command" in
${cases.join('\n')}
  esac
  case "\${command:+$command }$before" in
${values.join('\n')}
  esac
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$flags" -- "$current")
  else
    [[ -z $peers ]] || names+=" $(stt peers --names 2>/dev/null)"
    mapfile -t COMPREPLY < <(
      compgen -W "$names" -- "$current"
      [[ -z $files ]] || compgen -f -- "$current"
    )
  fi
}
complete -o filenames -F _stt stt
`;
}

function zsh(places: readonly Place[]): string {
  const cases = places.map(({ words, command }) => {
    const names = namesOf(command).map(({ name, description }) =>
      description === '' ? name : `${name}:${description}`,
    );
    const flags = command.options.flatMap((option) =>
      option.flags.map((flag) => `${flag}:${option.description}`),
    );
    const list = (items: readonly string[]): string => items.map(zshQuote).join(' ');
    const { peers, files } = sourcesOf(command);
    const more = `${peers ? ' peers=yes' : ''}${files ? ' files=yes' : ''}`;
    return `    ${zshQuote(words.join(' '))}) names=(${list(names)}) flags=(${list([...flags, '--help:display help'])})${more} ;;`;
  });
  const values = withValues(places).map(({ words, flags, choices, files }) => {
    const patterns = flags.map((flag) => zshQuote([...words, flag].join(' '))).join('|');
    const act = files ? '_files' : choices.length > 0 ? `compadd -- ${choices.join(' ')}` : ':';
    return `    (${patterns}) ${act}; return ;;`;
  });
  const known = places
    .filter(({ words }) => words.length > 0)
    .map(({ words }) => zshQuote(words.join(' ')));
  return `#compdef stt
# zsh completion of stt: put it as _stt into a folder of $fpath
_stt() {
  local command='' peers='' files='' word try
  local -a names flags
  for word in \${words[2,CURRENT - 1]}; do
    try="\${command:+$command }$word"
    case "$try" in
    (${known.join('|')}) command="$try" ;;
    esac
  done
  case "\${command:+$command }\${words[CURRENT - 1]}" in
${values.join('\n')}
  esac
  case "$command" in
${cases.join('\n')}
  esac
  if [[ \${words[CURRENT]} == -* ]]; then
    _describe -o option flags
    return
  fi
  ((\${#names})) && _describe command names
  [[ -z $peers ]] || compadd -- \${(f)"$(stt peers --names 2>/dev/null)"}
  [[ -z $files ]] || _files
}
# Sourced, it registers itself; as a file of $fpath it is the function.
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
  _stt "$@"
else
  compdef _stt stt
fi
`;
}

function fish(places: readonly Place[]): string {
  const lines = places.flatMap(({ words, command }) => {
    const here = fishCondition(words, command);
    const { peers, files } = sourcesOf(command);
    const names = namesOf(command).map(({ name, description }) => {
      const says = description === '' ? '' : ` -d ${fishQuote(description)}`;
      return `complete -c stt -n ${here} -f -a ${name}${says}`;
    });
    const known = peers
      ? [
          `complete -c stt -n ${here}${files ? '' : ' -f'} -a '(stt peers --names 2>/dev/null)' -d 'paired'`,
        ]
      : [];
    const options = command.options.map((option) => {
      const flags = option.flags.map((flag) =>
        flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`,
      );
      const value = option.value === undefined ? '' : takesFile(option) ? ' -r' : ' -x';
      const choices = option.choices.length > 0 ? ` -a ${fishQuote(option.choices.join(' '))}` : '';
      return `complete -c stt -n ${here} ${flags.join(' ')}${value}${choices} -d ${fishQuote(option.description)}`;
    });
    return [...names, ...known, ...options];
  });
  return `# fish completion of stt: put it into ~/.config/fish/completions/stt.fish
${lines.join('\n')}
`;
}

/** Where a line of fish holds: behind its words, and before any of the commands below. */
function fishCondition(words: readonly string[], command: CommandInfo): string {
  const below = command.commands.map(({ name }) => name);
  const seen = words.map((word) => `__fish_seen_subcommand_from ${word}`);
  const not = below.length > 0 ? [`not __fish_seen_subcommand_from ${below.join(' ')}`] : [];
  return fishQuote([...seen, ...not].join('; and '));
}

/** What may stand there by name: commands, what an argument can be, and what it is likely to be. */
function namesOf(command: CommandInfo): { name: string; description: string }[] {
  const choices = command.arguments.flatMap(({ choices: names, description }) =>
    names.map((name) => ({ name, description })),
  );
  const likely = command.arguments.flatMap(({ suggestions: { words = [] } }) =>
    words.map((name) => ({ name, description: '' })),
  );
  return [...command.commands, ...choices, ...likely];
}

/** What else may: names of peers, and files where nothing better is known. */
function sourcesOf(command: CommandInfo): { peers: boolean; files: boolean } {
  const peers = command.arguments.some(({ suggestions }) => suggestions.peers);
  const asked = command.arguments.some(({ suggestions }) => suggestions.files);
  return { peers, files: asked || (!peers && namesOf(command).length === 0) };
}

function takesFile(option: OptionInfo): boolean {
  return /file/.test(option.value ?? '');
}

/** Options behind which something has to follow, and what that may be. */
function withValues(places: readonly Place[]): {
  words: readonly string[];
  flags: readonly string[];
  choices: readonly string[];
  files: boolean;
}[] {
  return places.flatMap(({ words, command }) =>
    command.options
      .filter(({ value }) => value?.startsWith('<'))
      .map((option) => ({
        words,
        flags: option.flags,
        choices: option.choices,
        files: takesFile(option),
      })),
  );
}

function zshQuote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishQuote(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
