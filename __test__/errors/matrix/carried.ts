// Two endpoints with a WebSocket between them, by way of a gateway that can break.

import type {
  ConnectOptions,
  EndpointOptions,
  ListenOptions,
  SttEndpoint,
  SttSession,
} from '@seigr/stt';
import { type Context, exchange, serveEcho } from './context.ts';
import { Gateway } from './gateway.ts';

/** A server that takes WebSockets, a client, and the gateway. */
export interface Carried {
  readonly server: SttEndpoint;
  readonly client: SttEndpoint;
  readonly gateway: Gateway;
  /** Connects to the gateway, or elsewhere. */
  connect(options?: Partial<ConnectOptions>, port?: number): Promise<SttSession>;
}

/** The same, with a session. */
export interface CarriedPair extends Carried {
  readonly session: SttSession;
  readonly accepted: SttSession;
}

type WebSocketOptions = NonNullable<ListenOptions['websocket']>;

/** For rows whose fault is not silence. */
const PATIENT = { keepAliveTimeout: 30_000 };

/** Makes them, without a session. */
export async function carrier(
  context: Context,
  options: {
    readonly server?: Partial<EndpointOptions>;
    readonly client?: Partial<EndpointOptions>;
    readonly websocket?: WebSocketOptions;
    /** The port that leads to it, where `websocket` is a server that is there. */
    readonly port?: number;
    readonly onSession?: (session: SttSession) => void;
  } = {},
): Promise<Carried> {
  const server = await context.network.endpoint(options.server ?? PATIENT);
  const { websocket = { port: 0 } } = options;
  const listener = serveEcho(server, options.onSession, { websocket });
  await listener.ready;
  const port = options.port ?? listener.websocketAddress?.port ?? 0;
  const client = await context.network.endpoint(options.client ?? PATIENT);
  const gateway = await Gateway.to(context, port);
  const connect = (more: Partial<ConnectOptions> = {}, to = gateway.port): Promise<SttSession> =>
    client.connect(`localhost:${to}`, {
      peerNodeId: server.nodeId,
      transport: 'websocket',
      proxy: false,
      timeout: 30_000,
      ...more,
    });
  return { server, client, gateway, connect };
}

/** Makes them, and a session whose ends are noted, and what is pending on it. */
export async function carried(
  context: Context,
  options: Parameters<typeof carrier>[1] = {},
): Promise<CarriedPair> {
  let onSession: (session: SttSession) => void = () => undefined;
  const first = new Promise<SttSession>((resolve) => {
    onSession = resolve;
  });
  const both = await carrier(context, {
    server: {},
    client: {},
    ...options,
    onSession: (session) => onSession(session),
  });
  const session = await both.connect();
  const accepted = await first;
  context.watchSession('client', session);
  context.watchSession('server', accepted);
  const waiting = await session.createBidirectionalStream();
  void context.watch('client', 'read', waiting.bytes());
  return { ...both, session, accepted };
}

/** Connects anew as the row's client does, and shows that it works. */
export async function connectsAnew(
  { connect }: Carried,
  options: Partial<ConnectOptions> = {},
  port?: number,
): Promise<SttSession> {
  const session = await connect(options, port);
  await exchange(session);
  return session;
}
