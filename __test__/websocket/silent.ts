import { once } from 'node:events';
import type { Socket } from 'node:net';
import { connect as connectTcp } from 'node:net';
import { Worker } from 'node:worker_threads';
import { onTestFinished } from 'vitest';

/** Listens, and never takes what comes: its thread waits for ever. */
const LISTENER = `
  const { createServer } = require('node:net');
  const { parentPort, workerData } = require('node:worker_threads');
  const server = createServer();
  server.listen({ ...workerData, backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));
  });
`;

/**
 * A TCP port that answers nothing at all, as behind a firewall that drops: Linux ignores who knocks while the queue of a
 * listener is full.
 */
export async function silentTcp(host: string, port: number): Promise<void> {
  const worker = new Worker(LISTENER, { eval: true, workerData: { host, port } });
  onTestFinished(() => void worker.terminate());
  await once(worker, 'message');
  for (let index = 0; index < 16; index += 1) {
    const socket = connectTcp(port, host);
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    if (!(await connects(socket))) return;
  }
  throw new Error(`the listener at ${host}:${port} takes everybody`);
}

async function connects(socket: Socket): Promise<boolean> {
  const timer = AbortSignal.timeout(100);
  return once(socket, 'connect', { signal: timer }).then(
    () => true,
    () => false,
  );
}
