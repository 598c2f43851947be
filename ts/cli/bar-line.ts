import type { Options, Params } from 'cli-progress';

/** Longest bar. */
const BAR = 24;
/** Shortest bar that says more than the percentage beside it. */
const SHORT_BAR = 8;
/** So much of a name is kept before anything else is left out. */
const NAME = 8;

/** What a line of progress says. */
export interface BarWords {
  readonly label: string;
  readonly size: string;
  readonly rate: string;
  /** Left out where nobody knows how much there is in all. */
  readonly left?: string;
}

/**
 * Formats lines of progress for the terminal as wide as it is at that moment: what has no room is left out whole, the bar first,
 * as a number that is cut off is another number.
 */
export function barLine(known: boolean): NonNullable<Options['format']> {
  return (_options: Options, { progress }: Params, words: BarWords) =>
    fitted(words, known ? progress : undefined, process.stderr.columns || 80);
}

/** The line of at most so many columns; `progress` is a share of 1. */
export function fitted(
  { label, size, rate, left = '' }: BarWords,
  progress: number | undefined,
  columns: number,
): string {
  const share = progress === undefined ? [] : [`${Math.floor(progress * 100)} %`];
  const all = [...share, size, rate, ...(progress === undefined ? [] : [left])];
  const tails = [all, [...share, size, rate], [...share, rate], share.length > 0 ? share : [size]];
  const wanted = [...label.trimEnd()].length;
  const room = (tail: readonly string[]): number => columns - tail.join(' ').length - 1;
  const tail = tails.find((some) => room(some) >= Math.min(wanted, NAME)) ?? tails.at(-1) ?? [];
  const free = Math.max(1, room(tail));
  if (progress !== undefined && tail === all) {
    const bar = Math.min(BAR, free - [...label].length - 3);
    if (bar >= SHORT_BAR) {
      const done = Math.round(progress * bar);
      return `${label} [${'='.repeat(done)}${'-'.repeat(bar - done)}] ${tail.join(' ')}`;
    }
  }
  return `${shortened(label.trimEnd(), free)} ${tail.join(' ')}`.slice(0, columns);
}

/** The end of a name says more than its beginning. */
export function shortened(name: string, columns: number): string {
  const letters = [...name];
  return letters.length > columns
    ? ['…', ...letters.slice(letters.length - columns + 1)].join('')
    : name;
}
