/** One thing to try. */
export interface RecoveryStep {
  /** Who does it: the program by itself, or a person. */
  readonly by: 'program' | 'person';
  readonly text: string;
}

/** Something to look at. */
export interface Check {
  /** For a shell; words in capitals stand for the reader's own. */
  readonly command: string;
  /** What it tells, and where to run it if not here. */
  readonly shows: string;
}

/** What a person needs to know of a sub-code or of a reason. */
export interface Page {
  /** What has happened. */
  readonly meaning: string;
  /** What brings it about, the most common first. */
  readonly causes: readonly string[];
  /** What to look at, in the order in which to look. */
  readonly checks: readonly Check[];
  /** What to do, in the order in which to try. */
  readonly steps: readonly RecoveryStep[];
}

/** What a person needs to know of an error. */
export interface ErrorPage extends Page {
  readonly code: number;
}

/** The page of a handshake's sub-code. */
export interface SubcodePage extends Page {
  readonly subcode: number;
  readonly name: string;
}

/** The page of a reason for which sessions end. */
export interface ReasonPage extends Page {
  readonly reason: string;
}
