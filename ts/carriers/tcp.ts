import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect } from 'node:net';
import type { SocketAddress } from '../address.ts';
import { raceCarriers } from '../resilience/race.ts';
import { FrameReads } from './reads.ts';

/** What the system says when it has no way to an address at all. */
const UNREACHABLE = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL', 'EAFNOSUPPORT']);

/** A connection that is there. */
export interface Reached {
  readonly socket: Socket;
  /** Of the addresses that were tried, the one that it leads to. */
  readonly address: SocketAddress;
  /** How it is read. */
  readonly reads: FrameReads | undefined;
}

/**
 * Connects by TCP to the first address that answers: each has a head start of 250 ms before the next (RFC 8305,
 * section 5), and goes on beside it. (Node's own `autoSelectFamily` gives an address up when its time is over, so that a
 * peer further away than that is never reached by its first family.)
 *
 * @throws what the system says of the address that tells most; or the signal's reason.
 */
export async function connectTcp(
  addresses: readonly [SocketAddress, ...SocketAddress[]],
  signal: AbortSignal,
  inFrames: boolean,
): Promise<Reached> {
  const [first, ...others] = addresses;
  if (others.length === 0) return connectTo(first, signal, inFrames);
  const errors: unknown[] = [];
  const carriers = addresses.map((address) => ({
    name: address.address,
    connect: (cancelled: AbortSignal) =>
      connectTo(address, cancelled, inFrames).catch((error: unknown) => {
        errors.push(error);
        throw error;
      }),
    dispose: ({ socket }: Reached) => void socket.destroy(),
  }));
  try {
    return (await raceCarriers(carriers, { signal })).value;
  } catch (error) {
    signal.throwIfAborted();
    throw errors.find((one) => !UNREACHABLE.has(String((one as { code?: unknown }).code))) ?? error;
  }
}

async function connectTo(
  address: SocketAddress,
  signal: AbortSignal,
  inFrames: boolean,
): Promise<Reached> {
  signal.throwIfAborted();
  const reads = inFrames ? new FrameReads() : undefined;
  const { address: host, port } = address;
  const socket = connect({ host, port, noDelay: true, ...(reads && { onread: reads.onread }) });
  reads?.attach(socket);
  try {
    await once(socket, 'connect', { signal });
    return { socket, address, reads };
  } catch (error) {
    socket.on('error', () => {});
    socket.destroy();
    throw error;
  }
}
