import { EventEmitter } from 'node:events';
import { Socket as TcpSocket } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { WebSocket } from 'ws';
import { Links } from '../../ts/carriers/links.ts';
import type { Engine } from '../../ts/native/engine.ts';

/** An open WebSocket that only remembers how it was closed. */
class Socket extends EventEmitter {
  closed: number[] = [];
  close(code: number): void {
    this.closed.push(code);
  }
  terminate(): void {}
}

test('a link that packets have come by and that no session proves is closed', () => {
  vi.useFakeTimers();
  onTestFinished(() => {
    vi.useRealTimers();
  });
  const engine = { openConnection() {}, closeConnection() {} } as unknown as Engine;
  const links = new Links(
    () => engine,
    () => {},
  );
  const remote = { address: '127.0.0.1', port: 1, family: 'IPv4' } as const;
  const [proven, unproven] = [new Socket(), new Socket()];
  const ids = [proven, unproven].map((socket) => {
    const { id } = links.add(socket as unknown as WebSocket, new TcpSocket(), 'server', remote);
    links.authenticate(id);
    return id;
  });
  vi.advanceTimersByTime(5_000);
  links.use(1, ids[0]);
  vi.advanceTimersByTime(20_000);
  expect(unproven.closed).toEqual([]);
  vi.advanceTimersByTime(10_000);
  expect([proven.closed, unproven.closed]).toEqual([[], [1000]]);
});
