import { isIP } from 'node:net';
import { formatAddress } from '../address.ts';
import { CircuitOpenError } from '../errors/local.ts';
import type { BreakerOptions, CircuitState, Cockatiel } from './breaker.ts';
import { Circuit } from './breaker.ts';

/** The circuit of one peer, as it is now. */
export interface CircuitInfo {
  /** The peer's address as it was given, `host:port`. */
  readonly peer: string;
  /** The node that was asked for, 64 hex digits; undefined for any. */
  readonly nodeId: string | undefined;
  readonly state: CircuitState;
  /** Milliseconds until an open circuit lets a connect through. */
  readonly retryAfter: number;
  /** Connects that count now, and how many of them failed. */
  readonly total: number;
  readonly failed: number;
}

/** A circuit has opened, closed, or lets somebody through to try the peer. */
export interface CircuitChangeEvent extends CircuitInfo {
  /** What the last failed connect ended with. */
  readonly error?: unknown;
}

/** Whom a circuit is for. */
export interface CircuitKey {
  readonly host: string;
  readonly port: number;
  /** 64 hex digits; undefined for any. */
  readonly nodeId: string | undefined;
}

interface Entry {
  readonly peer: string;
  readonly nodeId: string | undefined;
  readonly circuit: Circuit;
}

/** Circuits that an endpoint keeps at most. */
export const MAX_CIRCUITS = 1_024;

/** The circuits of an endpoint's peers, each made at the first connect there. */
export class Breakers {
  readonly #options: Required<BreakerOptions>;
  readonly #now: () => number;
  readonly #onChange: (event: CircuitChangeEvent) => void;
  /** In the order of their last use. */
  readonly #entries = new Map<string, Entry>();

  /** @param now milliseconds on a clock that is never set. */
  constructor(
    options: Required<BreakerOptions>,
    onChange: (event: CircuitChangeEvent) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#options = options;
    this.#onChange = onChange;
    this.#now = now;
  }

  /**
   * Runs `connect` if the peer's circuit admits it.
   *
   * @throws {CircuitOpenError} when it does not.
   */
  async run<Value>(key: CircuitKey, connect: () => Promise<Value>): Promise<Value> {
    // At its first use, not with the package: most programs have no breaker.
    const library: Cockatiel = await import('cockatiel');
    const { peer, nodeId, circuit } = this.#entry(key, library);
    if (!circuit.admits) throw openError(peer, nodeId, circuit);
    return circuit.run(connect);
  }

  /** All circuits, the one used last at the end. */
  list(): readonly CircuitInfo[] {
    return [...this.#entries.values()].map(info);
  }

  #entry({ host, port, nodeId }: CircuitKey, library: Cockatiel): Entry {
    const peer = formatAddress({ address: normalHost(host), port });
    const name = `${peer} ${nodeId ?? 'any'}`;
    const found = this.#entries.get(name);
    if (found !== undefined) {
      this.#entries.delete(name);
      this.#entries.set(name, found);
      return found;
    }
    if (this.#entries.size >= MAX_CIRCUITS) this.#evict();
    const entry: Entry = {
      peer,
      nodeId,
      circuit: new Circuit(this.#options, library, this.#now, () => {
        const { lastFailure } = entry.circuit;
        this.#onChange({
          ...info(entry),
          ...(lastFailure === undefined ? {} : { error: lastFailure }),
        });
      }),
    };
    this.#entries.set(name, entry);
    return entry;
  }

  /** Makes room: the closed circuit that was used longest ago, as an open one would be forgotten open. */
  #evict(): void {
    let oldest: string | undefined;
    for (const [name, { circuit }] of this.#entries) {
      oldest ??= name;
      if (circuit.state !== 'closed') continue;
      oldest = name;
      break;
    }
    if (oldest !== undefined) this.#entries.delete(oldest);
  }
}

function info({ peer, nodeId, circuit }: Entry): CircuitInfo {
  const { state, retryAfter } = circuit;
  return Object.freeze({ peer, nodeId, state, retryAfter, ...circuit.counts() });
}

/** What the refusals of half-open circuits wait for. */
const probes = new WeakMap<CircuitOpenError, Promise<void>>();

/**
 * Resolves when the connect has ended that was let through to try the peer while `error` refused another; undefined
 * where there was none.
 */
export function probeBehind(error: unknown): Promise<void> | undefined {
  return error instanceof CircuitOpenError ? probes.get(error) : undefined;
}

function openError(peer: string, nodeId: string | undefined, circuit: Circuit): CircuitOpenError {
  const { state, retryAfter, lastFailure, probe } = circuit;
  const when =
    state === 'half-open'
      ? 'one connect is trying it now'
      : `the next connect is let through in ${retryAfter} ms`;
  const error = new CircuitOpenError(
    `${peer} was not tried: too many connects to it have failed, and ${when}. Look at the cause, or wait.`,
    { peer, nodeId, retryAfter, cause: lastFailure },
  );
  if (probe !== undefined) probes.set(error, probe);
  return error;
}

/** One spelling for all of a host, so that it has one circuit. */
function normalHost(host: string): string {
  if (isIP(host) !== 6 || host.includes('%')) return host.toLowerCase();
  return new URL(`stt://[${host}]`).hostname.slice(1, -1);
}
