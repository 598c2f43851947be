// What every peer's streams, sockets and data channels look like to the workloads: the thinnest layer that lets each be used
// by its own best API.
//
//   write(bytes)          takes bytes; returns a promise where whoever writes much should wait, else undefined
//   writeMany(messages)   the same for many small chunks in one call; without it they are written one by one
//   onBytes(take)         what arrives from now on, chunk by chunk
//   pause()               nobody reads from now on
//   close()
//
// An opener says with a label what a channel is for ('sink', 'source/1500', 'echo', 'stall'). Bytes that are all but END,
// then END: whoever takes them knows then that it has all, whatever a peer's ends of streams mean.

/** What blocks and messages are filled with, and the byte that ends them. */
export const FILL = 0x5a;
export const END = 0xff;

/** What an application writes at a time, and the last one of them. */
export const BLOCK = Buffer.alloc(64 * 1024, FILL);
export const LAST_BLOCK = endOf(BLOCK);

export function endOf(message) {
  const last = Buffer.from(message);
  last[last.length - 1] = END;
  return last;
}

/** What the other side does with a channel, by its label. */
export function act(label, channel) {
  const [kind, argument] = label.split('/');
  if (kind === 'sink') void answer(channel);
  else if (kind === 'source') void pour(channel, Number(argument)).catch(() => undefined);
  else if (kind === 'echo') channel.onBytes((chunk) => void channel.write(chunk));
  else if (kind === 'stall') channel.pause();
}

/** Takes all, and says how many bytes that was. */
async function answer(channel) {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(await drain(channel)));
  void channel.write(bytes);
}

/** Writes blocks for so many milliseconds, then the last one; the bytes written. */
export async function pour(channel, milliseconds) {
  const end = performance.now() + milliseconds;
  let written = 0;
  while (performance.now() < end) {
    written += BLOCK.length;
    const wait = channel.write(BLOCK);
    if (wait !== undefined) await wait;
  }
  await channel.write(LAST_BLOCK);
  return written + LAST_BLOCK.length;
}

/** Reads until the end; the bytes read. */
export function drain(channel) {
  let total = 0;
  return new Promise((resolve) =>
    channel.onBytes((chunk) => {
      total += chunk.length;
      if (chunk[chunk.length - 1] === END) resolve(total);
    }),
  );
}

/** The 8 bytes with which a sink says how many it has. */
export function answered(channel) {
  const parts = [];
  let length = 0;
  return new Promise((resolve) =>
    channel.onBytes((chunk) => {
      parts.push(Buffer.from(chunk));
      length += chunk.length;
      if (length >= 8) resolve(Number(Buffer.concat(parts).readBigUInt64LE()));
    }),
  );
}

/** The label before all else, for peers whose streams carry none. */
export function writeLabel(channel, label) {
  return channel.write(Buffer.concat([Buffer.of(label.length), Buffer.from(label)]));
}

/** Takes the label off and does what it says. */
export function actByLabel(channel, actOn = act) {
  const { push, listen } = receiver();
  let label;
  channel.onBytes((chunk) => {
    if (label !== undefined) {
      push(chunk);
      return;
    }
    // It came in one write of a few bytes: it is whole in the first chunk.
    const length = 1 + chunk[0];
    label = Buffer.from(chunk.slice(1, length)).toString();
    if (chunk.length > length) push(chunk.slice(length));
    actOn(label, { ...channel, onBytes: listen });
  });
}

/** Hands what arrives to whoever listens last, and keeps it while nobody does. */
export function receiver() {
  let take;
  const early = [];
  return {
    push(chunk) {
      if (take === undefined) early.push(chunk);
      else take(chunk);
    },
    listen(listener) {
      take = listener;
      for (const chunk of early.splice(0)) take(chunk);
    },
  };
}

/** A channel over a stream of Node's kind, streamx included. */
export function duplexChannel(stream) {
  const { push, listen } = receiver();
  let wake;
  let reading = false;
  stream.on('drain', () => wake?.());
  const room = () =>
    new Promise((resolve) => {
      wake = resolve;
    });
  return {
    write: (bytes) => (stream.write(bytes) ? undefined : room()),
    writeMany(messages) {
      stream.cork?.();
      let free = true;
      for (const message of messages) free = stream.write(message);
      stream.uncork?.();
      return free ? undefined : room();
    },
    onBytes(take) {
      listen(take);
      if (!reading) stream.on('data', push);
      reading = true;
    },
    pause: () => void stream.pause(),
    close: () => void stream.destroy(),
  };
}
