import type { Agent } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { SttOptionError } from '../errors/local.ts';
import type { AttemptFacts } from './errors.ts';
import type { ResolvedWebSocket } from './options.ts';

/**
 * The agent for the proxy on the way: the one given, or what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.
 * Undefined where there is none. The proxy is asked for a tunnel (CONNECT), so it sees neither path nor bytes.
 *
 * @param over ends what leads to the proxy, which nobody else has until it has answered: one that never does would keep the
 *   process from ending
 */
export async function proxyAgent(
  { url, proxy }: ResolvedWebSocket,
  facts: AttemptFacts,
  over: AbortSignal,
): Promise<Agent | undefined> {
  const chosen = proxy === false ? '' : (proxy ?? (await fromEnvironment(url)));
  if (chosen === '') return undefined;
  const { HttpsProxyAgent } = await import('https-proxy-agent');
  const where = parse(chosen);
  if (where === undefined) {
    // The value may hold a password: it is not repeated.
    throw new SttOptionError('proxy', 'or the environment names a proxy that is no http:// URL');
  }
  facts.proxy = `${where.protocol}//${where.host}`;
  // The options of TLS are for the peer, whom the tunnel leads to, and not for the proxy.
  const agent = new HttpsProxyAgent(where, { signal: over });
  agent.on('proxyConnect', ({ statusCode }: { statusCode: number }) => {
    facts.tunnelled = statusCode === 200;
  });
  const connect = agent.connect.bind(agent);
  agent.connect = async (request, options) => {
    const socket = await connect(request, options);
    if ('getPeerCertificate' in socket) facts.watch(socket as TLSSocket);
    return socket;
  };
  return agent as unknown as Agent;
}

async function fromEnvironment(url: URL): Promise<string> {
  const { getProxyForUrl } = await import('proxy-from-env');
  // A tunnel is what HTTPS has: `ws:` goes by what is set for it, `wss:` likewise.
  const scheme = url.protocol === 'wss:' ? 'https:' : 'http:';
  return getProxyForUrl(`${scheme}//${url.host}${url.pathname}`);
}

function parse(proxy: string): URL | undefined {
  if (!URL.canParse(proxy)) return undefined;
  const url = new URL(proxy);
  return ['http:', 'https:'].includes(url.protocol) ? url : undefined;
}
