/** Something on the wire that docs/PROTOCOL.md does not allow; `section` is where it says so. */
export class Deviation extends Error {
  readonly section: string;
  /** The datagram, counted from 0. */
  datagram = -1;

  constructor(section: string, what: string) {
    super(`section ${section}: ${what}`);
    this.section = section;
  }
}

/** Demands what a section of the document says. */
export function demand(condition: boolean, section: string, what: string): asserts condition {
  if (!condition) throw new Deviation(section, what);
}
