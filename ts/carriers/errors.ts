import type { PeerCertificate, TLSSocket } from 'node:tls';
import { formatAddress } from '../address.ts';
import {
  ConnectionRefusedError,
  ConnectionTimeoutError,
  NetworkUnreachableError,
  ResourceExhaustedError,
  TlsError,
  WebSocketHandshakeError,
} from '../errors/classes.ts';
import type { SttError, SttErrorContext } from '../errors/error.ts';
import { printable } from '../printable.ts';

/** What is known of one attempt to open a WebSocket. */
export class AttemptFacts {
  readonly url: URL;
  readonly context: Partial<SttErrorContext>;
  readonly timeout: number;
  readonly started: number = performance.now();
  /** The status of the answer that was no upgrade. */
  status: number | undefined;
  /** The proxy on the way, without its credentials. */
  proxy: string | undefined;
  /** Whether the proxy has made the tunnel: what answers then is the server behind it. */
  tunnelled = false;
  #certificate: PeerCertificate | undefined;
  #secured = false;

  constructor(url: URL, context: Partial<SttErrorContext>, timeout: number) {
    this.url = url;
    this.context = context;
    this.timeout = timeout;
  }

  /** Notes the certificate that a server shows, before it is judged. */
  watch(socket: TLSSocket): void {
    socket.prependOnceListener('secure', () => {
      const certificate = socket.getPeerCertificate();
      if (certificate?.subject !== undefined) this.#certificate = certificate;
    });
    socket.once('secureConnect', () => {
      this.#secured = true;
    });
  }

  /** Whether TLS stands, so that what fails now is not TLS. */
  get secured(): boolean {
    return this.#secured;
  }

  get certificate(): { validFrom: string; validTo: string; names: string } | undefined {
    const shown = this.#certificate;
    if (shown === undefined) return undefined;
    const { valid_from: validFrom, valid_to: validTo, subject, subjectaltname } = shown;
    return { validFrom, validTo, names: subjectaltname ?? String(subject.CN ?? '') };
  }
}

/** Codes of node:tls that mean more than that TLS failed. */
const CERTIFICATE_ADVICE: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: "Renew the server's certificate, and check the clocks of both machines.",
  CERT_NOT_YET_VALID: 'Check the clocks of both machines.',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'Connect by a name that the certificate has, set tls.servername, or get one for this name.',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'It is self-signed: give it, or the authority that signed it, as tls.ca.',
  SELF_SIGNED_CERT_IN_CHAIN: 'Its authority is not known here: give it as tls.ca.',
  CERT_SIGNATURE_FAILURE:
    'It was altered, or not signed by the authority that it names: install it anew on the server.',
  CERT_REVOKED: "It was revoked: renew the server's certificate.",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'Its authority is not known here: give it as tls.ca.',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    'Its authority is not known here: give it as tls.ca, with any certificate in between.',
};

/** Where what this side was given cannot be used. */
const OWN_ADVICE = 'Check what was given as tls: certificate, key and passphrase.';
const PEER_ADVICE = 'Check that the server speaks TLS, and which versions.';

const UNREACHABLE = new Set(['ENETUNREACH', 'EHOSTUNREACH', 'EADDRNOTAVAIL']);
const UNRESOLVED = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_NONAME', 'EAI_NODATA']);
const EXHAUSTED = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS']);

/** The typed error for a WebSocket that did not open. */
export function dialError(facts: AttemptFacts, cause: Error | undefined): SttError {
  const url = describe(facts.url);
  const ms = Math.round(performance.now() - facts.started);
  const { status, proxy } = facts;
  const refusing = facts.tunnelled ? undefined : proxy;
  const context = {
    ...facts.context,
    transport: 'websocket' as const,
    ...(refusing === undefined ? {} : { proxy: refusing }),
  };
  // Until there is a tunnel, nothing has been heard of the peer, and nothing is to be said of it.
  const dialled = refusing === undefined ? url : `the proxy ${refusing}`;
  if (status !== undefined) return refusedUpgrade(url, status, ms, refusing, context);
  const code = codeOf(cause);
  const details = { context, cause, origin: 'path' as const };
  if (UNRESOLVED.has(code)) {
    const name = refusing === undefined ? `in ${facts.url.hostname}` : `of ${dialled}`;
    return new NetworkUnreachableError(
      `The name ${name} has no address (${code}). Check its spelling, and the name servers of this machine.`,
      details,
    );
  }
  if (UNREACHABLE.has(code)) {
    return new NetworkUnreachableError(
      `No route leads to ${dialled} (${code}). Check this machine's network.`,
      details,
    );
  }
  if (EXHAUSTED.has(code)) {
    return new ResourceExhaustedError(
      `The system has no more descriptors or memory for a connection to ${url} (${code}). Close some, or raise its limits (ulimit -n).`,
      // Of this machine alone: the proxy has no part in it.
      { cause, context: { ...facts.context, transport: 'websocket' }, origin: 'local' },
    );
  }
  if (code === 'ECONNREFUSED') {
    if (refusing !== undefined) {
      return new ConnectionRefusedError(
        `TCP to the proxy ${refusing} was refused after ${ms} ms, so ${url} was not tried: nobody listens there. Start the proxy, or correct its address; it is in the option proxy, or in HTTP_PROXY and its like.`,
        details,
      );
    }
    return new ConnectionRefusedError(
      `TCP to ${url} was refused after ${ms} ms: nobody listens there. Start the peer with websocket, or check address, port and firewall.`,
      details,
    );
  }
  if (code === 'ETIMEDOUT' || /timed? ?out/i.test(cause?.message ?? '')) {
    return new ConnectionTimeoutError(
      `${refusing === undefined ? `${url} did not take a WebSocket` : `The proxy ${refusing} made no tunnel to ${url}`} within ${ms} ms (timeout ${Math.round(facts.timeout)} ms). Check ${refusing === undefined ? 'address and firewall' : "the proxy's address, and that it reaches the host and port of the peer"}, or allow more time.`,
      { ...details, origin: 'idle' },
    );
  }
  const secure =
    refusing === undefined ? facts.url.protocol === 'wss:' : refusing.startsWith('https:');
  if (isTls(code, cause) && secure && !facts.secured) {
    const { certificate } = facts;
    const shown =
      certificate === undefined
        ? ''
        : ` The certificate is for ${printable(certificate.names)}, from ${certificate.validFrom} to ${certificate.validTo}.`;
    const reason = opensslReason(cause) ?? code;
    const advice =
      CERTIFICATE_ADVICE[code] ?? (code.startsWith('ERR_OSSL') ? OWN_ADVICE : PEER_ADVICE);
    return new TlsError(
      `TLS with ${dialled} failed: ${reason || printable(cause?.message ?? 'the connection ended')}.${shown} ${advice}`,
      {
        ...details,
        context: {
          ...context,
          tlsReason: reason,
          ...(certificate === undefined
            ? {}
            : {
                certificateValidFrom: certificate.validFrom,
                certificateValidTo: certificate.validTo,
              }),
        },
      },
    );
  }
  const words = cause === undefined ? 'the connection ended' : printable(cause.message);
  if (refusing !== undefined) {
    return new WebSocketHandshakeError(
      `The proxy ${refusing} made no tunnel to ${url}: ${words} (after ${ms} ms). Check that it speaks HTTP, and allows CONNECT to the host and port of the peer.`,
      details,
    );
  }
  return new WebSocketHandshakeError(
    `${url} did not take a WebSocket: ${words} (after ${ms} ms). Check that an STT endpoint listens there with websocket, and the path.`,
    details,
  );
}

function refusedUpgrade(
  url: string,
  status: number,
  ms: number,
  proxy: string | undefined,
  context: Partial<SttErrorContext>,
): SttError {
  const advice: Readonly<Record<number, string>> = {
    400: 'The server does not take the request as it is: if it wants a certificate of the client, give tls.cert and tls.key; else check that an STT endpoint listens there.',
    401: 'A proxy before the peer wants credentials: give them as websocket.headers.',
    403: 'Somebody on the way forbids it: check the rules of proxies and firewalls.',
    404: 'No WebSocket is at this path: check websocket.url, or path of listen().',
    407: 'The proxy wants credentials: put them in the proxy URL, http://user:password@host:port.',
    426: 'The server wants another upgrade: check that an STT endpoint listens there.',
    // An endpoint's own answer is as bare as that of many a proxy: who gave it cannot be told.
    503: 'It takes no more for now: an STT endpoint says so that has as many unfinished connections as it takes, a proxy or another server for reasons of its own. Try again in a while; if it repeats, check that an STT endpoint listens there with websocket.',
  };
  if (proxy !== undefined) {
    const advices: Readonly<Record<number, string>> = {
      403: 'Have it allow CONNECT to the host and port of the peer.',
      407: 'It wants credentials: put them in the proxy URL, http://user:password@host:port.',
    };
    return new WebSocketHandshakeError(
      `The proxy ${proxy} answered ${status} to CONNECT for ${url}, after ${ms} ms. ${advices[status] ?? 'Check that it allows CONNECT to the host and port of the peer, and reaches them.'}`,
      { origin: 'path', context: { ...context, httpStatus: status } },
    );
  }
  return new WebSocketHandshakeError(
    `${url} answered ${status} in place of an upgrade, after ${ms} ms. ${advice[status] ?? 'Check that an STT endpoint listens there with websocket, and that proxies on the way pass upgrades on.'}`,
    { origin: 'path', context: { ...context, httpStatus: status } },
  );
}

function codeOf(error: Error | undefined): string {
  const code = (error as { code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** What OpenSSL says where Node has one code for all of it, such as `tlsv1 alert protocol version`. */
function opensslReason(error: Error | undefined): string | undefined {
  const reason = /:SSL routines:[^:]*:([^:]+):/.exec(error?.message ?? '')?.[1];
  return reason === undefined ? undefined : printable(reason);
}

function isTls(code: string, error: Error | undefined): boolean {
  return (
    code in CERTIFICATE_ADVICE ||
    /^(ERR_TLS|ERR_SSL|ERR_OSSL|CERT_|UNABLE_TO_|EPROTO|HOSTNAME_|INVALID_|PATH_LENGTH|CRL_)/.test(
      code,
    ) ||
    /\b(ssl|tls|certificate)\b/i.test(error?.message ?? '')
  );
}

/** `ws://host:port/path` for messages: without what a URL may hide of credentials. */
function describe(url: URL): string {
  const port = url.port === '' ? (url.protocol === 'wss:' ? 443 : 80) : Number(url.port);
  return `${url.protocol}//${formatAddress({ address: url.hostname.replace(/^\[|\]$/g, ''), port })}${url.pathname}`;
}
