import type { Agent } from 'node:http';
import type { TLSSocket } from 'node:tls';
import type { AttemptFacts } from './errors.ts';
import type { ResolvedWebSocket } from './options.ts';

/**
 * The agent for the proxy on the way: the one given, or what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.
 * Undefined where there is none. The proxy is asked for a tunnel (CONNECT), so it sees neither path nor bytes.
 */
export async function proxyAgent(
  { url, proxy, tls }: ResolvedWebSocket,
  facts: AttemptFacts,
): Promise<Agent | undefined> {
  const chosen = proxy === false ? '' : (proxy ?? (await fromEnvironment(url)));
  if (chosen === '') return undefined;
  const { HttpsProxyAgent } = await import('https-proxy-agent');
  facts.proxy = withoutCredentials(chosen);
  const agent = new HttpsProxyAgent(chosen, tls as object);
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

function withoutCredentials(proxy: string): string {
  const url = new URL(proxy);
  return `${url.protocol}//${url.host}`;
}
