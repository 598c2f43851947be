/** What a key log says (docs/qlog.md). */
export interface KeyLog {
  readonly ephemerals: Map<string, Buffer>;
  /** secret_0 and AEAD, by the path id of the headers. */
  readonly traffic: Map<string, { aead: number; secret: Buffer }>;
}

export function parseKeyLog(text: string): KeyLog {
  const log: KeyLog = { ephemerals: new Map(), traffic: new Map() };
  for (const line of text.trimEnd().split('\n')) {
    const [label, ...words] = line.split(' ');
    const [a = '', b = '', c = ''] = words;
    if (label === 'STT_EPHEMERAL') log.ephemerals.set(a, Buffer.from(b, 'hex'));
    else if (label === 'STT_TRAFFIC_SECRET_0') {
      log.traffic.set(a, { aead: Number(b), secret: Buffer.from(c, 'hex') });
    } else throw new Error(`a key log has no line ${label}`);
  }
  return log;
}
