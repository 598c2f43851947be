import type { SttEndpoint } from '../../index.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { counted, formatPace } from '../units.ts';
import type { Carriage, Line } from './carry.ts';
import { carry } from './carry.ts';
import { TRANSFER_PURPOSE } from './messages.ts';
import { quote } from './names.ts';
import type { Sending, SendingState, Sent } from './send.ts';
import { sendFile } from './send.ts';
import type { Source } from './source.ts';
import { TREE_PURPOSE } from './tree/messages.ts';
import type { Tree } from './tree/scan.ts';
import type { TreeSending, TreeSent, TreeState } from './tree/send.ts';
import { sendTree } from './tree/send.ts';

/** What of a `stt send` matters once it is known what is sent. */
export interface Delivery {
  readonly resume: boolean;
  readonly resumeTimeout: number;
  readonly connectTimeout: number;
  readonly transport: Line['transport'];
  readonly to: { readonly address: string; readonly peerNodeId: string };
}

/** How far something has come. */
export interface Stand {
  /** Whether there was a session at all. */
  readonly met: boolean;
  /** Whether a receiver has taken the offer. */
  readonly begun: boolean;
  readonly position: number;
  /** Bytes in all, once they are known. */
  readonly size: number | null;
  /** Whether it can be read again. */
  readonly readable: boolean;
}

/** What one `stt send` sends. */
export interface Cargo {
  /** What tells it from all else that this machine sends; undefined for what cannot be gone on with. */
  readonly role: readonly string[] | undefined;
  readonly stand: Stand;
  /** Sends all of it and says so. */
  deliver(
    endpoint: SttEndpoint,
    transfer: string | null,
    delivery: Delivery,
    signal: AbortSignal,
    output: Output,
  ): Promise<void>;
  close(): Promise<void>;
}

/** One file, or what comes out of a pipe. */
export class FileCargo implements Cargo {
  readonly #source: Source;
  readonly #state: SendingState = {
    met: false,
    begun: false,
    position: 0,
    best: -1,
    advanced: performance.now(),
    bytesSent: 0,
    size: null,
  };

  constructor(source: Source) {
    this.#source = source;
  }

  get role(): readonly string[] | undefined {
    const { path, name } = this.#source;
    return path === undefined ? undefined : [path, name];
  }

  get stand(): Stand {
    return { ...this.#state, readable: this.#source.readable };
  }

  async deliver(
    endpoint: SttEndpoint,
    transfer: string | null,
    delivery: Delivery,
    signal: AbortSignal,
    output: Output,
  ): Promise<void> {
    const { resume } = delivery;
    const source = this.#source;
    const sending: Sending = { source, transfer, resume, output, state: this.#state };
    const conversation = {
      purpose: TRANSFER_PURPOSE,
      output,
      resumable: () => resume && source.readable,
      state: this.#state,
      talk: (...[stream, , over]: Parameters<Talk<Sent>>) => sendFile(stream, sending, over),
    };
    const line = lineOf(delivery, signal);
    report(await carry(endpoint, delivery.to.address, conversation, line), this.#state, output);
  }

  async close(): Promise<void> {
    await this.#source.close();
  }
}

/** Folders, or several files. */
export class TreeCargo implements Cargo {
  readonly #tree: Tree;
  readonly #label: string;
  readonly #state: TreeState = {
    met: false,
    begun: false,
    position: 0,
    best: -1,
    advanced: performance.now(),
    bytesSent: 0,
  };

  constructor(tree: Tree) {
    this.#tree = tree;
    const roots = tree.manifest.roots().map((root) => tree.manifest.path(root));
    if (roots.length === 0) {
      throw new CliError(
        ExitCode.LocalFile,
        'nothing of it can be sent.',
        'name files or folders; devices, pipes and sockets are skipped.',
      );
    }
    this.#label = roots.length === 1 ? `${roots[0]}` : `${roots[0]} and ${roots.length - 1} more`;
  }

  get role(): readonly string[] {
    const names = this.#tree.manifest.roots().map((root) => this.#tree.manifest.path(root));
    return ['tree', ...this.#tree.paths, ...names];
  }

  get stand(): Stand {
    return { ...this.#state, size: this.#tree.manifest.bytes, readable: true };
  }

  async deliver(
    endpoint: SttEndpoint,
    transfer: string | null,
    delivery: Delivery,
    signal: AbortSignal,
    output: Output,
  ): Promise<void> {
    const { resume } = delivery;
    const sending: TreeSending = {
      tree: this.#tree,
      transfer: transfer as string,
      label: this.#label,
      resume,
      output,
      state: this.#state,
    };
    const conversation = {
      purpose: TREE_PURPOSE,
      output,
      resumable: () => resume,
      state: this.#state,
      talk: (...[stream, session, over]: Parameters<Talk<TreeSent>>) =>
        sendTree(stream, session, sending, over),
    };
    const line = lineOf(delivery, signal);
    const carried = await carry(endpoint, delivery.to.address, conversation, line);
    reportTree(carried, sending);
  }

  async close(): Promise<void> {
    await this.#tree.close();
  }
}

type Talk<T> = import('./carry.ts').Conversation<T>['talk'];

function lineOf(delivery: Delivery, signal: AbortSignal): Line {
  return {
    peerNodeId: delivery.to.peerNodeId,
    timeout: delivery.connectTimeout,
    transport: delivery.transport,
    patience: delivery.resumeTimeout,
    signal,
  };
}

function report(carried: Sent & Carriage, state: SendingState, output: Output): void {
  const { name, bytes, sha256, seconds, resumedFrom } = carried;
  const { reconnects, moves, peerNodeId, sessionId, transport } = carried;
  output.result(
    'sent',
    {
      name,
      bytes,
      sha256,
      verified: true,
      seconds,
      peerNodeId,
      sessionId,
      transport,
      resumedFrom,
      reconnects,
      moves,
      bytesSent: state.bytesSent,
    },
    `sent ${name}: ${formatPace(bytes, resumedFrom, seconds)}\nsha256 ${sha256}`,
  );
}

function reportTree(
  carried: TreeSent & Carriage,
  { tree, label, state, output }: TreeSending,
): void {
  const { names, sha256, seconds, resumedFrom, resumedFiles, failed } = carried;
  const { reconnects, moves, peerNodeId, sessionId, transport } = carried;
  const { manifest } = tree;
  const { bytes } = manifest;
  const [files, folders, links] = [
    manifest.count('file') - failed.length,
    manifest.count('folder'),
    manifest.count('link'),
  ];
  const skipped = tree.skipped.length + failed.length;
  const left = skipped === 0 ? '' : `; ${skipped} skipped`;
  output.result(
    'sent',
    {
      name: label,
      names,
      files,
      folders,
      links,
      skipped,
      bytes,
      sha256,
      verified: true,
      seconds,
      peerNodeId,
      sessionId,
      transport,
      resumedFrom,
      resumedFiles,
      reconnects,
      moves,
      bytesSent: state.bytesSent,
    },
    `sent ${label}: ${counted(files, 'file')} in ${counted(folders, 'folder')}, ${formatPace(bytes, resumedFrom, seconds)}${left}\nsha256 ${sha256}`,
  );
  const unreadable = tree.skipped.filter(({ lost }) => lost);
  const [first] = [...unreadable, ...failed];
  if (first === undefined) return;
  // What was left out before anything was sent may be a folder.
  const what = unreadable.length === 0 ? 'file' : 'path';
  throw new CliError(
    ExitCode.LocalFile,
    `${counted(unreadable.length + failed.length, what)} could not be read, ${quote(first.path)} among them: ${first.why}. All else is there.`,
    'see to what was skipped, and send it again.',
  );
}
