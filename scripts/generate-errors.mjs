// Makes everything that repeats the table of errors from the one in Rust (stt-wire's codes): the TypeScript
// table, the classes, the reference that `stt explain` prints, and docs/ERRORS.md. With --check it writes
// nothing and fails if a file differs.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { inRoot, root } from './lib/paths.mjs';
import { main, say } from './lib/process.mjs';

const SOURCE = 'crates/stt-wire/src/codes.rs and codes/reference.rs';
const HEADER = `// Made by scripts/generate-errors.mjs from ${SOURCE}: change those.`;

/** What differs between the committed files and the table: one line a file. */
export function staleErrorFiles() {
  return [...makeAll()]
    .filter(([file, text]) => readOrEmpty(file) !== text)
    .map(([file]) => `${file} is not what scripts/generate-errors.mjs makes: run it and commit`);
}

function makeAll() {
  const table = readTable();
  return new Map([
    ['ts/errors/table.generated.ts', format('table.generated.ts', tableModule(table))],
    ['ts/errors/classes.ts', format('classes.ts', classesModule(table))],
    ['ts/errors/reference.generated.ts', format('reference.generated.ts', referenceModule(table))],
    ['docs/ERRORS.md', document(table)],
  ]);
}

function readTable() {
  const args = ['run', '--quiet', '--locked', '-p', 'stt-wire', '--example', 'error_table'];
  return JSON.parse(execFileSync('cargo', args, { cwd: root, encoding: 'utf8' }));
}

function format(name, text) {
  const biome = inRoot('node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const args = [biome, 'format', `--stdin-file-path=${inRoot('ts', 'errors', name)}`];
  return execFileSync(process.execPath, args, { cwd: root, input: text, encoding: 'utf8' });
}

const hex = (code) => `0x${code.toString(16).padStart(4, '0')}`;
const quote = (value) => JSON.stringify(value);

function tableModule({ codes, subcodes, reasons }) {
  const rows = codes.map(
    ({ code, codeName, className, category, recoverable, recovery, advice }) => `{
    code: ${hex(code)}, codeName: ${quote(codeName)}, className: ${quote(className)}, category: ${quote(category)},
    recoverable: ${recoverable}, recovery: ${quote(recovery)}, advice: ${quote(advice)},
  },`,
  );
  return `${HEADER}

/** The closed table: 25 errors, and no other. */
export const ERROR_TABLE = [
${rows.join('\n')}
] as const;

/** What {@link HandshakeError} and {@link AuthenticationError} add to their code. */
export const HANDSHAKE_SUBCODES = {
${subcodes.map(({ subcode, name }) => `${subcode}: ${quote(name)},`).join('\n')}
} as const;

/** Why a session ended; the index is the number on the wire. */
export const CLOSE_REASONS = [${reasons.map(({ reason }) => quote(reason)).join(', ')}] as const;

/** What a program can do about each sub-code, where the code alone does not tell. */
export const SUBCODE_RECOVERY = {
${subcodes.map(({ subcode, recovery }) => `${subcode}: ${quote(recovery)},`).join('\n')}
} as const;

/** What a program can do about each way in which a session ends. */
export const REASON_RECOVERY = {
${reasons.map(({ reason, recovery }) => `${reason}: ${quote(recovery)},`).join('\n')}
} as const;
`;
}

function classesModule({ codes }) {
  const classes = codes.map(({ code, codeName, className, meaning }) => {
    // Only the end of a session always has a reason.
    const ended = codeName === 'SESSION_CLOSED';
    const details = ended
      ? 'details: SttErrorDetails & { reason: CloseReason }'
      : 'details: SttErrorDetails = {}';
    return `/** ${hex(code)}: ${meaning} */
export class ${className} extends SttError {
  /** Number of this class in the table. */
  static readonly code = ${hex(code)};
  declare readonly code: ${hex(code)};
  declare readonly codeName: ${quote(codeName)};
${ended ? '  declare readonly reason: CloseReason;\n' : ''}
  constructor(message: string, ${details}) {
    super(${hex(code)}, message, details);
  }
}
`;
  });
  const names = codes.map(({ className }) => className);
  return `${HEADER}
import type { SttErrorDetails } from './error.ts';
import { SttError } from './error.ts';
import type { CloseReason } from './table.ts';

${classes.join('\n')}
/** Any of the 25, told apart by \`codeName\` or \`code\`. */
export type AnySttError = ${names.map((name) => `| ${name}`).join('\n')};
`;
}

function referenceModule({ codes, subcodes, reasons }) {
  const pages = codes.map(({ code, meaning, causes, checks, steps }) => ({
    code,
    meaning,
    causes,
    checks,
    steps,
  }));
  const subcodePages = subcodes.map(({ recovery: _, ...page }) => page);
  const reasonPages = reasons.map(({ recovery: _, number: __, ...page }) => page);
  return `${HEADER}
import type { ErrorPage, ReasonPage, SubcodePage } from './reference.ts';

/** The pages of the 25 codes. */
export const ERROR_PAGES: readonly ErrorPage[] = ${JSON.stringify(pages)};

/** The pages of the handshake's sub-codes. */
export const SUBCODE_PAGES: readonly SubcodePage[] = ${JSON.stringify(subcodePages)};

/** The pages of the reasons for which sessions end. */
export const REASON_PAGES: readonly ReasonPage[] = ${JSON.stringify(reasonPages)};
`;
}

function document({ codes, subcodes, reasons }) {
  const lines = [
    '# Errors',
    '',
    `<!-- Made by scripts/generate-errors.mjs from ${SOURCE}: change those. -->`,
    '',
    'The closed table of the transport: 25 codes, 4 sub-codes of the handshake, 4 reasons for which sessions end. A code is',
    'two 8-bit halves, `0xCCEE`: category, then the error in it. They tell of the transport only, never of what the bytes',
    'mean. `stt explain CODE` prints the same. In every list of what to do, the first line is the first to try; *by itself* is',
    'what the transport or a program can do without help. In commands, words in capitals stand for your own; they are those of',
    'Linux where systems differ.',
    '',
    '| code | name | class | category | recoverable | `recovery` |',
    '| --- | --- | --- | --- | --- | --- |',
    ...codes.map(
      (row) =>
        `| [\`${hex(row.code)}\`](#${anchor(row)}) | ${row.codeName} | \`${row.className}\` | ${row.category} | ${row.advice} | \`${row.recovery}\` |`,
    ),
    '',
  ];
  for (const row of codes) {
    lines.push(`## ${hex(row.code)} ${row.codeName}`, '', row.meaning, '', '**Causes**', '');
    lines.push(...row.causes.map((cause) => `- ${cause}`), '', ...checkLines(row));
    lines.push('**What to do**', '', ...row.steps.map(stepLine), '');
    if (row.codeName === 'SESSION_CLOSED')
      lines.push(...section(reasons, ({ reason }) => `\`reason: '${reason}'\``));
    if (row.codeName === 'HANDSHAKE_FAILURE')
      lines.push(...section(subcodes, ({ subcode, name }) => `\`0x0405_0${subcode}\` ${name}`));
  }
  return `${lines.join('\n').trimEnd()}\n`;
}

function section(pages, title) {
  return pages.flatMap((page) => [
    `### ${title(page)}`,
    '',
    `${page.meaning} \`recovery\`: \`${page.recovery}\`.`,
    '',
    ...page.causes.map((cause) => `- ${cause}`),
    '',
    ...checkLines(page),
    ...page.steps.map(stepLine),
    '',
  ]);
}

function checkLines({ checks }) {
  if (checks.length === 0) return [];
  const lines = checks.map(({ command, shows }) => `- \`${command}\`: ${shows}`);
  return ['**What to look at**', '', ...lines, ''];
}

const stepLine = ({ by, text }) => `1. ${by === 'program' ? '*By itself*: ' : ''}${text}`;
const anchor = ({ code, codeName }) => `${hex(code)}-${codeName.toLowerCase()}`;

function readOrEmpty(file) {
  try {
    return readFileSync(inRoot(file), 'utf8');
  } catch {
    return '';
  }
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(async () => {
    if (process.argv.includes('--check')) {
      const stale = staleErrorFiles();
      for (const line of stale) say(line);
      return stale.length === 0 ? 0 : 1;
    }
    for (const [file, text] of makeAll()) {
      if (readOrEmpty(file) !== text) {
        writeFileSync(inRoot(file), text);
        say(`${file}: written`);
      }
    }
    return 0;
  });
}
