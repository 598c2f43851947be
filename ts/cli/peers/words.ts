import type { ResolvedPeer } from './resolve.ts';

/** The same message where the peer is one of `stt peers`: what was not said on the command line is no flag to correct. */
export function inPeerWords(message: string, { address, places, pinnedBy }: ResolvedPeer): string {
  let text = message;
  if (places !== undefined) {
    const name = address.slice(0, address.lastIndexOf(':'));
    text = text
      .replace(
        `The name ${name} has no address. Check its spelling, and`,
        `None of the hosts of ${name} has an address: ${hostsOf(places)}. Check them in "stt peers", and`,
      )
      .replaceAll(`ws://${address}/stt`, places.map(webSocketAt).join(', '))
      .replaceAll(`${address} `, `${name} (${places.join(', ')}) `);
  }
  if (pinnedBy === undefined) return text;
  return text
    .replace('that peerNodeId names', `that ${pinnedBy} was paired with`)
    .replace('Correct peerNodeId or the address.', `"stt peers" has what is known of ${pinnedBy}.`);
}

/** What to do where another node answers than the one that a name of `stt peers` stands for. */
export function hintOfPin(name: string): string {
  return `see in "stt peers" where ${name} should be; if its node id has changed ("stt id" there prints it), "stt peers rm ${name}" and pair it again.`;
}

/** The URL at which a carrier looks for a WebSocket, where none is said. */
export function webSocketAt(place: string): string {
  return `ws://${place}/stt`;
}

function hostsOf(places: readonly string[]): string {
  return places.map((place) => place.replace(/:\d+$/, '')).join(', ');
}
