import type { SttErrorContext } from '../../index.ts';
import { isSttError } from '../../index.ts';
import { proxyHint } from '../failure.ts';
import type { ResolvedPeer } from '../peers/resolve.ts';
import { hintOfPin } from '../peers/words.ts';
import type { Failed, Report } from './report.ts';

/** The last sentence: what to fix first, or that there is nothing to fix. */
export function adviceOf(
  report: Report,
  failed: Failed | undefined,
  { pinnedBy, places }: ResolvedPeer,
): string {
  if (failed === undefined) return fine(report);
  const { check, error } = failed;
  const code = isSttError(error) ? error.codeName : '';
  if (isSttError(error) && error.context.proxy !== undefined) {
    const hint = proxyHint(error.context.httpStatus);
    return hint.charAt(0).toUpperCase() + hint.slice(1);
  }
  switch (check) {
    case 'name':
      return places === undefined
        ? 'Correct the name, or the name servers of this machine.'
        : 'Correct the hosts of the peer: pair again, or give its address and --peer-id; or the name servers of this machine.';
    case 'route':
      return 'Give this machine a route there: look at its interfaces (ip address) and routes (ip route).';
    case 'udp':
      return `${udp(code)}${report.passed('websocket') ? ' Sessions go by WebSocket meanwhile.' : ''}`;
    case 'tls':
      return tls(isSttError(error) ? error.context : {});
    case 'websocket':
      return webSocket(code, isSttError(error) ? error.context : {});
    case 'version':
      return 'Install the same version of @seigr/stt on both machines.';
    case 'seed':
      return 'Use the same seed on both machines: "stt pair" gives it to the other.';
    case 'clock':
      return `Set the clock ${clockOf(error)} by NTP (timedatectl).`;
    case 'peer':
      return peer(code, isSttError(error) && error.context.answeredBy !== undefined, pinnedBy);
    case 'mtu':
      return 'Look at the MTU of the links on the way.';
  }
}

function fine(report: Report): string {
  if (!report.passed('udp')) return 'All is well by WebSocket; UDP was not tried.';
  if (report.those('warning').includes('websocket')) {
    return 'All is well by UDP; nothing takes over where UDP is blocked, unless the peer takes WebSockets too ("stt recv --websocket").';
  }
  return 'All is well.';
}

function udp(code: string): string {
  switch (code) {
    case 'CONNECTION_REFUSED':
      return 'Start the listener there, or correct the port: the machine answers, and nothing has that UDP port.';
    case 'NETWORK_UNREACHABLE':
      return 'Look at the routes and firewalls between: a machine on the way says that it cannot, or may not, deliver there.';
    case 'UDP_SEND_FAILED':
      return "Look at this machine's own firewall and interface: its system refuses to send.";
    case 'RESOURCE_EXHAUSTED':
      return 'Raise the limit of open files (ulimit -n) or free memory here.';
    default:
      return 'Let UDP pass to that port in every firewall on the way, there and back, and see that the listener runs there with this seed: nothing answers.';
  }
}

const UNKNOWN_AUTHORITY =
  'Name a file with the authority of the certificate, and any in between, in NODE_EXTRA_CA_CERTS here.';

/** What helps against what node:tls finds wrong with a certificate. */
const CERTIFICATE_ADVICE: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED:
    'Renew the certificate on the server; if its last day is still to come, set the clock of this machine by NTP (timedatectl).',
  CERT_NOT_YET_VALID:
    'Set the clocks of both machines by NTP (timedatectl): the certificate is not valid yet by that of this one.',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'Name a host in the URL that the certificate is for, or give the server a certificate for this one.',
  DEPTH_ZERO_SELF_SIGNED_CERT:
    'Name a file with that certificate in NODE_EXTRA_CA_CERTS here: it is self-signed.',
  SELF_SIGNED_CERT_IN_CHAIN: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
};

function tls({ tlsReason, certificateValidTo }: Partial<SttErrorContext>): string {
  if (certificateValidTo === undefined) {
    return 'Look at what serves that TCP port: it speaks no TLS, or none that this machine takes; without TLS the URL begins with ws://.';
  }
  return CERTIFICATE_ADVICE[tlsReason ?? ''] ?? 'Correct the certificate on the server.';
}

function webSocket(code: string, { httpStatus }: Partial<SttErrorContext>): string {
  switch (code) {
    case 'CONNECTION_REFUSED':
      return 'Have the peer take WebSockets ("stt recv --websocket"), or correct the URL: nothing has that TCP port.';
    case 'CONNECTION_TIMEOUT':
      return 'Let TCP pass to that port in every firewall on the way.';
    case 'NETWORK_UNREACHABLE':
      return 'Correct the host in the URL, or the route to it.';
    case 'WEBSOCKET_HANDSHAKE_FAILED':
      if (httpStatus === 502 || httpStatus === 504) {
        return 'Start the peer with --websocket, or correct where the proxy in front of it passes that path on: it does not reach the peer.';
      }
      if (httpStatus === 503) {
        return 'Try again in a while: what answers there takes no more for now. If it repeats, see that the peer runs with --websocket, and that the URL leads to it: it may be another server.';
      }
      if (httpStatus === 400) {
        return 'Look at what that server asks of its clients: it may want a certificate, which a command has none of.';
      }
      return 'Correct the path in the URL, or have the proxy in front pass upgrades on: what answers there takes no WebSocket of STT.';
    default:
      return 'Look at the logs of the peer and of proxies in between: the WebSocket opened and was closed again.';
  }
}

function clockOf(error: unknown): string {
  const skew = isSttError(error) ? error.context.clockSkew : undefined;
  if (skew === undefined) return 'of both machines';
  const seconds = Math.round(Math.abs(skew) / 1_000);
  return `of the one that is wrong (the peer's is ${seconds} s ${skew > 0 ? 'ahead' : 'behind'})`;
}

function peer(code: string, another: boolean, pinnedBy: string | undefined): string {
  if (another && pinnedBy !== undefined) {
    return `Another node of this network answers: ${hintOfPin(pinnedBy)}`;
  }
  if (another) {
    return 'Correct the peer id ("stt id" there prints it), or the address: another node of this network answers.';
  }
  if (code === 'AUTHENTICATION_FAILED') {
    return 'Have the peer admit this node: its program decides who may connect (authorize), and stt doctor comes with a new node id each time.';
  }
  if (code === 'TOO_MANY_SESSIONS' || code === 'RESOURCE_EXHAUSTED') {
    return 'Try again later, or raise the limits of the peer: it has as many sessions as it takes.';
  }
  return 'Try again; if it repeats, something on the way alters packets: "stt explain" has what the code means.';
}
