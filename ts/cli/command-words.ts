import { ENVIRONMENT } from '../options.ts';

/** What the API says to somebody who has a program, and what a command line has in its place. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/Add its seed, or use/g, 'Use'],
  [/\b([Uu])se the same sharedSeed on both sides\./g, '$1se the same seed on both machines.'],
  [/in sharedSeed here/g, 'here'],
  [/Compare peerNodeId with the peer's nodeId\./g, 'Compare it with what "stt id" prints there.'],
  [/that peerNodeId names\b/g, 'that --peer-id names'],
  [/\bpeerNodeId\b/g, '--peer-id'],
  [/its authorize\(\) said no, or did not/g, 'its program said no, or did not'],
  [/or its authorize\(\) said no\./g, 'or its program said no.'],
  [/Have it admit this node's nodeId\./g, "Have it admit this node's id."],
  [/, or widen timestampWindow\b/g, ''],
  [
    /longer than timestampWindow there\. Try again, or widen that\./g,
    'longer than it takes there. Try again.',
  ],
  [/ \(keepAliveTimeout\)/g, ''],
  [/raise keepAliveTimeout\b/g, 'allow more by STT_KEEP_ALIVE_TIMEOUT'],
  [/ \(maxConcurrentStreams: (\d+)\)/g, ' ($1)'],
  [/ \((maxConcurrentStreams|maxConcurrentSessions|maxMemory)( there)?\)/g, ''],
  [
    /Have it listen \(listen\(\) or serve\(\)\), or connect to the endpoint that does\./g,
    'Have it listen ("stt recv"), or try again in a while.',
  ],
  [/\bEnd some, or open with waitUntilAvailable\./g, 'Try again when some have ended.'],
  [
    /, open with waitUntilAvailable, or raise the limit\./g,
    ', or raise the limit (STT_MAX_CONCURRENT_STREAMS).',
  ],
  [/, or open with waitUntilAvailable\./g, '.'],
  [/, maxPendingBytes, backlog\)/g, ')'],
  [/ \(revoke\(\)\)/g, ''],
  [
    / \(destroy\(\), or a handler that threw\)\. Look there for why, then connect again\./g,
    '. Run it again.',
  ],
  [
    /call onFrame\([^)]*\) if the application misses it, or have the peer not send it/g,
    'install the same version on both sides if something is missing',
  ],
  [
    /give onFrame\(\) a handler for their type, or upgrade, if the application misses them/g,
    'install the same version on both sides if something is missing',
  ],
  [/Start the peer with websocket, or/g, 'Start the peer with --websocket, or'],
  [/listens there with websocket\b/g, 'listens there with --websocket'],
  [
    /check websocket\.url, or path of listen\(\)/gi,
    'Check the path in the URL, and what listens there',
  ],
  [/give it(.*?) as tls\.ca\b/g, 'name a file with it$1 in NODE_EXTRA_CA_CERTS'],
  [/, set tls\.servername, or/g, ', or'],
  [
    /it is in the option proxy, or in HTTP_PROXY and its like\./g,
    'it is in HTTP_PROXY or HTTPS_PROXY.',
  ],
  [
    /if it wants a certificate of the client, give tls\.cert and tls\.key; else check that/g,
    'it may want a certificate of the client, which a command has none of; else check that',
  ],
  [
    /wants credentials: give them as websocket\.headers\./g,
    'wants credentials, which a command has none of: have it let the path of the WebSocket through.',
  ],
  [
    /Check what was given as tls: certificate, key and passphrase\./g,
    'Check that the server speaks TLS, and which versions.',
  ],
  [
    /Create it with host '[^']*', or use another address of the peer\./g,
    'Use another address of the peer.',
  ],
  [
    /Create it without host, or with an address that leads there\./g,
    'Listen on an address that leads there (--listen).',
  ],
  [/\bChoose a place for qlog\.dir and keyLog that\b/g, 'Choose an STT_QLOG_DIR that'],
  [/Bind to one of its own, or leave host out\./g, 'Listen on one of its own, or on a port alone.'],
];

/** Options that a command has as a variable of the environment. */
const OPTION = new RegExp(`\\b(${Object.values(ENVIRONMENT).join('|')})\\b`, 'g');
const VARIABLES = new Map(
  Object.entries(ENVIRONMENT).map(([variable, option]) => [option, variable]),
);

/** The same message for somebody who has no program, but a command. */
export function inCommandWords(message: string): string {
  const text = WORDS.reduce((so, [words, others]) => so.replace(words, others), message);
  return text.replace(OPTION, (option) => VARIABLES.get(option as never) ?? option);
}
