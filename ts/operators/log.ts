import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { DiagnosticsChannel, DiagnosticsMessages } from '../diagnostics.ts';
import { SttOptionError } from '../errors/local.ts';
import { warn } from '../events.ts';
import { checkOneOf } from '../options.ts';
import type { LogEntry, LogLevel, LogRecord } from './records.ts';
import { CHANNELS, describe } from './records.ts';

/** A logger like pino's: the record first, the words behind it. */
export interface PinoLike {
  bindings(): unknown;
  debug(record: object, message: string): void;
  info(record: object, message: string): void;
  warn(record: object, message: string): void;
  error(record: object, message: string): void;
}

/** A logger like winston's: one entry that holds all. */
export interface WinstonLike {
  configure(options: never): unknown;
  log(entry: { level: string; message: string }): unknown;
}

/** A logger like `console`: the words first, the record behind them. */
export interface ConsoleLike {
  debug(message: string, record: object): void;
  info(message: string, record: object): void;
  warn(message: string, record: object): void;
  error(message: string, record: object): void;
}

/** What {@link logTo} writes to: pino, winston, `console`, or a function. */
export type LogTarget =
  | PinoLike
  | WinstonLike
  | ConsoleLike
  | ((level: LogLevel, record: LogRecord, message: string) => void);

/** What is logged. */
export interface LogOptions {
  /**
   * What matters less is not logged.
   * @default 'debug': everything, as loggers have levels of their own
   */
  readonly level?: LogLevel;
  /**
   * Logs every stream, too. It costs a record for each, which programs with many small requests feel.
   * @default false
   */
  readonly streams?: boolean;
}

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

/**
 * Writes what happens to all endpoints of this process to a logger: sessions, errors, retries,
 * circuits and, where asked, streams. Every record has `event`, `code`, `peer` and `timestamp`. A
 * logger that throws, or rejects, never reaches the transport: the first time is told as a warning.
 *
 * @returns a function that stops it.
 */
export function logTo(logger: LogTarget, options: LogOptions = {}): () => void {
  const write = writerFor(logger);
  const { level = 'debug', streams = false } = options;
  checkOneOf('level', level, LEVELS);
  if (typeof streams !== 'boolean') throw new SttOptionError('streams', 'must be true or false');
  const least = LEVELS.indexOf(level);
  let failed = false;
  const onFailure = (error: unknown): void => {
    if (!failed) warn('the logger of logTo() threw', error);
    failed = true;
  };
  const subscribed = CHANNELS.filter((name) => streams || !name.startsWith('stt.stream.')).map(
    (name) => {
      const listener = (message: unknown): void => {
        try {
          const entry = describe(name, message as DiagnosticsMessages[DiagnosticsChannel]);
          if (LEVELS.indexOf(entry.level) < least) return;
          const result = write(entry);
          if (result instanceof Promise) result.catch(onFailure);
        } catch (error) {
          onFailure(error);
        }
      };
      subscribe(name, listener);
      return { name, listener };
    },
  );
  return () => {
    for (const { name, listener } of subscribed.splice(0)) unsubscribe(name, listener);
  };
}

type Write = (entry: LogEntry) => unknown;

function writerFor(logger: LogTarget): Write {
  if (typeof logger === 'function') {
    return ({ level, record, message }) => logger(level, record, message);
  }
  if (typeof logger === 'object' && logger !== null) {
    if (has(logger, 'bindings') && hasLevels(logger)) {
      const pino = logger as PinoLike;
      return ({ level, record, message }) => pino[level](record, message);
    }
    if (has(logger, 'configure') && has(logger, 'log')) {
      const winston = logger as WinstonLike;
      return ({ level, record, message }) => winston.log({ ...record, level, message });
    }
    if (hasLevels(logger)) {
      const plain = logger as ConsoleLike;
      return ({ level, record, message }) => plain[level](`stt: ${message}`, record);
    }
  }
  throw new SttOptionError('logger', 'must be a pino, a winston, a console, or a function');
}

function hasLevels(logger: object): boolean {
  return LEVELS.every((level) => has(logger, level));
}

function has(logger: object, method: string): boolean {
  return typeof (logger as Record<string, unknown>)[method] === 'function';
}
