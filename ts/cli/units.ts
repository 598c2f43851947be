import { ExitCode } from './exit-codes.ts';
import { CliError } from './failure.ts';

const SIZE_UNITS: Record<string, number> = {
  '': 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};
const DURATION_UNITS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

const DURATION_WORDS: readonly (readonly [string, number])[] = [
  ['day', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1_000],
];

/** The longest duration, 24 days: a timer of Node that is to wait for more than 2^31 - 1 ms ends at once. */
const MAX_DURATION_MS = 24 * 86_400_000;

/** Reads `64M`, `10G`, `1.5T` or a plain number of bytes; K, M, G and T are powers of 1024. */
export function parseSize(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(text.trim());
  const unit = SIZE_UNITS[match?.[2]?.toUpperCase() ?? ''];
  const size = match && unit !== undefined ? Math.round(Number(match[1]) * unit) : Number.NaN;
  if (!Number.isSafeInteger(size)) {
    throw new CliError(
      ExitCode.Usage,
      `${option}: "${text}" is not a size.`,
      'write bytes, or a number with K, M, G or T, as in 64M.',
    );
  }
  return size;
}

/** Reads `500ms`, `30s`, `10m`, `1h`, `2d`; a bare number is seconds. Returns milliseconds, whole ones, and at least one. */
export function parseDuration(text: string, option: string): number {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?$/.exec(text.trim());
  const unit = DURATION_UNITS[match?.[2] ?? 's'];
  const duration = match && unit !== undefined ? Math.round(Number(match[1]) * unit) : Number.NaN;
  if (!Number.isFinite(duration) || duration <= 0) {
    throw new CliError(
      ExitCode.Usage,
      `${option}: "${text}" is not a duration.`,
      'write a number with ms, s, m, h or d, as in 30s.',
    );
  }
  if (duration > MAX_DURATION_MS) {
    throw new CliError(
      ExitCode.Usage,
      `${option}: "${text}" is longer than ${formatDuration(MAX_DURATION_MS)}, the longest that can be waited.`,
      `write ${formatDuration(MAX_DURATION_MS)} or less.`,
    );
  }
  return duration;
}

/** `30 s`, `10 min`, `1 h`, `24 days`: a duration in milliseconds, in the largest unit that says it exactly. */
export function formatDuration(milliseconds: number): string {
  const [unit, size] = DURATION_WORDS.find(([, size]) => milliseconds % size === 0) ?? ['ms', 1];
  const count = milliseconds / size;
  return unit === 'day' ? counted(count, unit) : `${count} ${unit}`;
}

/** `1.50 GiB`, `812 B`. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let index = 0;
  while (value >= 1024 && index < units.length - 1) {
    value /= 1024;
    index += 1;
  }
  return index === 0 ? `${value} B` : `${value.toFixed(2)} ${units[index]}`;
}

/** `412 MB/s`: decimal, as links are sold. */
export function formatRate(bytesPerSecond: number): string {
  if (!Number.isFinite(bytesPerSecond)) return '-';
  if (bytesPerSecond >= 1e9) return `${(bytesPerSecond / 1e9).toFixed(2)} GB/s`;
  if (bytesPerSecond >= 1e6) return `${(bytesPerSecond / 1e6).toFixed(1)} MB/s`;
  return `${(bytesPerSecond / 1e3).toFixed(1)} kB/s`;
}

/** `0:07`, `12:41`, `1:02:09`. */
export function formatClock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '--:--';
  const whole = Math.max(0, Math.round(seconds));
  const tail = `${String(Math.floor(whole / 60) % 60).padStart(whole >= 3600 ? 2 : 1, '0')}:${String(whole % 60).padStart(2, '0')}`;
  return whole >= 3600 ? `${Math.floor(whole / 3600)}:${tail}` : tail;
}

/** `1 file`, `2 files`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** What was moved, of what, how long it took and how fast that was: `2.00 GiB, the last 1.00 GiB of it in 9.54 s (112.6 MB/s)`. */
export function formatPace(bytes: number, resumedFrom: number, seconds: number): string {
  const moved = bytes - resumedFrom;
  const rest = resumedFrom > 0 ? `, the last ${formatSize(moved)} of it` : '';
  const rate = seconds > 0 ? moved / seconds : 0;
  return `${formatSize(bytes)}${rest} in ${seconds.toFixed(2)} s (${formatRate(rate)})`;
}
