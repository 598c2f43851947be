import { createHash } from 'node:crypto';

/** The SHA-256 of every file of a tree that is known so far, by the file's number in the manifest. */
export class Digests {
  readonly #bytes: Buffer;
  readonly #known: Uint8Array;
  #count = 0;

  constructor(entries: number) {
    this.#bytes = Buffer.alloc(entries * 32);
    this.#known = new Uint8Array(entries);
  }

  /** How many are known. */
  get count(): number {
    return this.#count;
  }

  has(index: number): boolean {
    return this.#known[index] === 1;
  }

  /** `sha256`: 64 hex digits. */
  set(index: number, sha256: string): void {
    this.#bytes.write(sha256, index * 32, 'hex');
    if (!this.has(index)) this.#count += 1;
    this.#known[index] = 1;
  }

  /** What was there is not any more. */
  unset(index: number): void {
    if (this.has(index)) this.#count -= 1;
    this.#known[index] = 0;
    this.#bytes.fill(0, index * 32, (index + 1) * 32);
  }

  /** One hash for all of them: of the manifest's own digest, and of what is known, in order. */
  total(manifest: string): string {
    return createHash('sha256')
      .update(Buffer.from(manifest, 'hex'))
      .update(this.#known)
      .update(this.#bytes)
      .digest('hex');
  }
}
