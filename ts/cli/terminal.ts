import { writeSync } from 'node:fs';

/** The cursor is shown, and lines wrap. */
const AS_IT_WAS = '\u001b[?25h\u001b[?7h';

/** Whether bars can be drawn on stderr: on a terminal that moves its cursor. `TERM` is empty or `dumb` where it does not. */
export function drawsBars(): boolean {
  const { TERM } = process.env;
  // Windows has no TERM, and its terminals move theirs.
  const moves = process.platform === 'win32' && TERM === undefined;
  return process.stderr.isTTY && (moves || (TERM !== undefined && TERM !== '' && TERM !== 'dumb'));
}

interface Blocking {
  readonly _handle?: { setBlocking?(blocking: boolean): unknown };
}

/**
 * Lets what goes to a terminal wait in memory while that takes nothing, as one that Ctrl-S has stopped. Node has the whole
 * process wait for it otherwise: transfers stand still, and no signal is heard.
 */
export function unblockTerminals(): void {
  if (process.platform === 'win32') return;
  setBlocking(false);
  process.once('exit', () => setBlocking(true));
}

function setBlocking(blocking: boolean): void {
  for (const stream of [process.stdout, process.stderr])
    if (stream.isTTY) (stream as Blocking)._handle?.setBlocking?.(blocking);
}

/** Undoes what bars and prompts do to a terminal, and waits for nothing. */
export function restoreTerminal(): void {
  if (process.stdin.isTTY && process.stdin.isRaw) process.stdin.setRawMode(false);
  if (drawsBars()) sayNow(AS_IT_WAS);
  // Others may have the same open file.
  if (process.platform !== 'win32') setBlocking(true);
}

/** Last words on stderr, before the process ends in this very turn; a terminal that takes none does not get them. */
export function sayNow(text: string): void {
  try {
    writeSync(process.stderr.fd, text);
  } catch {
    // There is nobody else to tell.
  }
}

/** Where bars are drawn: what a terminal does not take is left out, as the next says the same again. */
export function barStream(): NodeJS.WritableStream {
  const { stderr } = process;
  let skipping = false;
  const write = (text: string): boolean => {
    if (!stderr.writableNeedDrain) return stderr.write(text);
    if (!skipping) {
      skipping = true;
      stderr.once('drain', () => {
        skipping = false;
        // The end of the bars may have been among it.
        stderr.write(AS_IT_WAS);
      });
    }
    return false;
  };
  return Object.create(stderr, { write: { value: write } }) as NodeJS.WritableStream;
}
