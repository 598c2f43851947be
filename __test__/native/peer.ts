import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Engine, type EngineHandlers, type EngineOptions } from '../../ts/native/engine.ts';

/** One event as the handlers were called: the name and the arguments. */
export type Heard = {
  [K in keyof EngineHandlers]: { name: K; args: Parameters<EngineHandlers[K]> };
}[keyof EngineHandlers];

const LIMIT_MS = 60_000;

/** The seed that all peers of one test run share. */
export const sharedSeed = new Uint8Array(randomBytes(32));

/** Read, not imported: the lifecycle tests' children share it, and Node 20 imports no JSON without a warning. */
const DEFAULTS = JSON.parse(
  readFileSync(new URL('./engine-options.json', import.meta.url), 'utf8'),
) as Omit<EngineOptions, 'sharedSeeds'>;

/** Complete options with the defaults of the public API. */
export function engineOptions(changes: Partial<EngineOptions> = {}): EngineOptions {
  return { ...DEFAULTS, sharedSeeds: [sharedSeed], ...changes };
}

/** An engine that remembers what it was told. */
export class Peer {
  readonly engine: Engine;
  readonly heard: Heard[] = [];
  /** Called instead of remembering, for tests that move much. */
  onData: EngineHandlers['data'] | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(changes: Partial<EngineOptions> = {}) {
    const handlers = new Proxy({} as EngineHandlers, {
      get:
        (_, name) =>
        (...args: unknown[]) => {
          if (name === 'data' && this.onData !== undefined) {
            this.onData(...(args as Parameters<EngineHandlers['data']>));
          } else {
            this.heard.push({ name, args } as Heard);
          }
          for (const wake of [...this.#waiting]) wake();
        },
    });
    this.engine = Engine.start(engineOptions(changes), handlers);
  }

  /** Resolves once `test` gives something, looked at after every event. */
  async until<T>(what: string, test: () => T | undefined): Promise<T> {
    const found = test();
    if (found !== undefined) return found;
    return await new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(wake);
        const seen = this.heard.map((heard) => heard.name).join(', ');
        reject(new Error(`no ${what} within ${LIMIT_MS} ms; heard: ${seen}`));
      }, LIMIT_MS);
      const wake = (): void => {
        const late = test();
        if (late === undefined) return;
        this.#waiting.delete(wake);
        clearTimeout(timer);
        resolve(late);
      };
      this.#waiting.add(wake);
    });
  }

  /** Takes the first event of this name, waiting for it. */
  async take<K extends keyof EngineHandlers>(name: K): Promise<Parameters<EngineHandlers[K]>> {
    return await this.until(name, () => {
      const index = this.heard.findIndex((heard) => heard.name === name);
      if (index < 0) return undefined;
      return this.heard.splice(index, 1)[0]?.args as Parameters<EngineHandlers[K]>;
    });
  }

  /** What the stream brings up to its FIN, in however many pieces it comes: the FIN may come alone. */
  async takeAll(stream: number): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    for (;;) {
      const [from, chunk, fin] = await this.take('data');
      if (from !== stream) throw new Error(`data of stream ${from} instead of ${stream}`);
      chunks.push(chunk);
      if (fin) return Uint8Array.from(Buffer.concat(chunks));
    }
  }

  /** Closes and waits for the end. */
  async close(): Promise<void> {
    this.engine.close(0);
    await this.take('endpointClosed');
  }
}

/** Two connected peers. */
export async function connectedPair(changes: Partial<EngineOptions> = {}): Promise<{
  client: Peer;
  server: Peer;
  session: number;
}> {
  const server = new Peer(changes);
  const client = new Peer(changes);
  server.engine.listen({ maxSessions: 16, authorize: false });
  const { address, port } = server.engine.address;
  const peerNodeId = server.engine.nodeId;
  const session = client.engine.connect({ address, port, peerNodeId, timeoutMs: 60_000 });
  await Promise.all([client.take('connected'), server.take('connected')]);
  return { client, server, session };
}

/** The options of a plain bidirectional stream. */
export const plainStream = { unidirectional: false, purpose: 'test', priority: 3 } as const;
