import { ExitCode, systemCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import { formatSize } from '../units.ts';
import { ClaimBusyError } from './claim.ts';
import { DeskBusyError } from './desk.ts';
import { TargetExistsError } from './files.ts';
import type { Receipt } from './messages.ts';
import { NameError } from './names.ts';
import { NotAFolderError } from './tree/folders.ts';
import { ManifestError } from './tree/manifest.ts';

/** A reason of ours not to keep the file, told to the sender in the receipt. */
export class Refusal extends CliError {
  readonly fault: Exclude<Receipt, { ok: true }>['fault'];

  constructor(
    fault: Refusal['fault'],
    exitCode: ExitCode,
    message: string,
    hint: string,
    options?: ErrorOptions,
  ) {
    super(exitCode, message, hint, options);
    this.fault = fault;
  }

  /** Whether what came is kept for another try: nothing speaks against its bytes, and not against the disk as such. */
  get keeps(): boolean {
    if (this.fault === 'disk') return this.#code !== 'EIO';
    return this.fault === 'exists';
  }

  /** As {@link keeps}, of a tree, of which a file that is not what was sent has been dropped alone. */
  get keepsTree(): boolean {
    // What could not be brought to the disk may seem to stand there.
    if (this.fault === 'disk') return this.keeps && !this.#syncing;
    return true;
  }

  get #code(): string | undefined {
    return systemCode(this.cause);
  }

  get #syncing(): boolean {
    const { cause } = this;
    return cause instanceof Error && 'syscall' in cause && /sync$/.test(String(cause.syscall));
  }
}

/** A reason not to take an offer that may pass, so the command does not end for it. */
export class Busy extends CliError {
  constructor(message: string, options?: ErrorOptions) {
    super(ExitCode.Interrupted, message, 'wait for the other one, then send it again.', options);
  }
}

/** The far side went away in the middle; what came is kept for its return. */
export class SuspendedError extends Error {
  override readonly name = 'SuspendedError';
  /** The part's key. */
  readonly key: string;
  /** The file's name, safe to print. */
  readonly file: string;
  /** Bytes that stand there; of a folder, of files that are whole and of unfinished ones. */
  readonly bytes: number;

  constructor(key: string, file: string, bytes: number, cause: unknown) {
    super(`${file} was cut off after ${formatSize(bytes)}`, { cause });
    this.key = key;
    this.file = file;
    this.bytes = bytes;
  }
}

/** What a failure before the first byte means for the sender, and for this command. */
export function asDecline(error: unknown): CliError | undefined {
  if (error instanceof CliError) return error;
  if (error instanceof NameError) {
    return new CliError(
      ExitCode.LocalFile,
      `refused: ${error.message}.`,
      'rename the file at the sender.',
    );
  }
  if (error instanceof ManifestError || error instanceof NotAFolderError) {
    const hint = 'hint' in error ? error.hint : undefined;
    return new CliError(
      ExitCode.LocalFile,
      `refused: ${error.message}.`,
      hint ?? 'change it at the sender.',
    );
  }
  if (error instanceof ClaimBusyError || error instanceof DeskBusyError)
    return new Busy(`${error.message}.`, { cause: error });
  if (error instanceof TargetExistsError) return existsRefusal(error);
  return systemCode(error) === undefined ? undefined : diskRefusal(error as Error, 'the file');
}

/** What a failure in the middle means, where it is one of this side. */
export function asRefusal(error: unknown, name: string): Refusal | undefined {
  if (error instanceof Refusal) return error;
  if (error instanceof TargetExistsError) return existsRefusal(error);
  if (error instanceof Error && 'syscall' in error && systemCode(error) !== undefined)
    return diskRefusal(error, name);
  return undefined;
}

/** The final name is taken. */
function existsRefusal({ message, hint }: TargetExistsError): Refusal {
  return new Refusal('exists', ExitCode.LocalFile, `${message}.`, hint);
}

function diskRefusal(error: Error, name: string): Refusal {
  const code = systemCode(error);
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new Refusal(
    'disk',
    ExitCode.LocalFile,
    `${code}: ${name} cannot be stored: ${full ? 'the disk is full' : error.message}.`,
    full
      ? 'free some space, then run the same command again; or choose another folder.'
      : 'check the folder and its disk.',
    { cause: error },
  );
}
