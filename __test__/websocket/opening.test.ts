import { once } from 'node:events';
import { createServer } from 'node:http';
import type { Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { SttOptionError } from '@seigr/stt';
import { describe, expect, onTestFinished, test } from 'vitest';
import { dial } from '../../ts/carriers/dial.ts';
import { endpoint } from '../contract/pair.ts';
import { failure, listening } from './support.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

describe('a WebSocket that does not open', () => {
  test.each([
    { what: 'a key that is none', tls: { cert: 'none', key: 'none' }, code: 0x0504 },
    { what: 'ciphers that are none', tls: { ciphers: 'NONE' }, code: 0x0504 },
  ])('leaves no connection behind: $what', async ({ tls, code }) => {
    const web = createServer();
    const connected = once(web, 'connection');
    const port = await listening(web);
    const client = await endpoint();
    const error = await failure(
      client.connect(`127.0.0.1:${port}`, {
        peerNodeId: client.nodeId,
        transport: 'websocket',
        tls,
      }),
    );
    expect(error.code).toBe(code);
    const [socket] = (await connected) as [Socket];
    socket.resume();
    if (!socket.destroyed) await once(socket, 'close');
  });

  test.each([{ 'a name': 'x' }, { name: 'a\r\nb' }, { name: undefined }])(
    'headers that are none are told at once: %o',
    async (headers) => {
      const client = await endpoint();
      const connecting = client.connect('127.0.0.1:9', {
        peerNodeId: client.nodeId,
        websocket: { headers: headers as never },
      });
      await expect(connecting).rejects.toBeInstanceOf(SttOptionError);
    },
  );

  test('leaves no signal behind', async () => {
    const web = createServer((_request, response) => response.writeHead(404).end());
    const port = await listening(web);
    const { any } = AbortSignal;
    const made: WeakRef<AbortSignal>[] = [];
    AbortSignal.any = (signals) => {
      const signal = any.call(AbortSignal, signals);
      made.push(new WeakRef(signal));
      return signal;
    };
    onTestFinished(() => {
      AbortSignal.any = any;
    });
    const { signal } = new AbortController();
    const to = { url: new URL(`ws://127.0.0.1:${port}/stt`), tls: {}, proxy: false, headers: {} };
    const resolve = async () => [{ address: '127.0.0.1', port, family: 'IPv4' }] as const;
    for (let round = 0; round < 5; round += 1) {
      const limits = { timeout: 5_000, signal, context: {}, resolve: resolve as never };
      expect(await failure(dial(to as never, limits))).toMatchObject({ code: 0x0503 });
    }
    expect(made).toHaveLength(5);
    const kept = () => made.filter((one) => one.deref() !== undefined).length;
    for (let turn = 0; turn < 50 && kept() > 1; turn += 1) {
      await new Promise((next) => setTimeout(next, 10));
      collect();
    }
    // The last one may be on the stack still.
    expect(kept()).toBeLessThanOrEqual(1);
  });
});
