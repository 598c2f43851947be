/** Cuts the last `length` bytes (or all, if fewer) off a list of chunks. */
export function splitTail(
  chunks: readonly Uint8Array[],
  length: number,
): { body: Uint8Array[]; tail: Uint8Array } {
  const body = [...chunks];
  const tail: Uint8Array[] = [];
  let missing = length;
  while (missing > 0) {
    const chunk = body.pop();
    if (chunk === undefined) break;
    const cut = Math.max(0, chunk.length - missing);
    tail.unshift(chunk.subarray(cut));
    missing -= chunk.length - cut;
    if (cut > 0) body.push(chunk.subarray(0, cut));
  }
  return { body, tail: Buffer.concat(tail) };
}
