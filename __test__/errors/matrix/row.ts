// What a row of the fault matrix is: one true fault, who must see it as what, and the ways out of it.

import type { CloseReason, SttErrorCode, SttErrorContext, SttErrorOrigin } from '@seigr/stt';
import type { Context } from './context.ts';

/** What a machine must have for a row. */
export type Need = 'netns' | 'hostile' | 'cc' | 'prlimit' | 'openssl';

/** What an error says of a carrier that failed, beside its code. */
export type Facts = Pick<
  SttErrorContext,
  | 'transport'
  | 'httpStatus'
  | 'closeCode'
  | 'tlsReason'
  | 'certificateValidFrom'
  | 'certificateValidTo'
>;

/** An error as one side got it, through the public API. */
export interface Seen {
  readonly side: string;
  /** How it came: `connect`, `closed`, `write`, `frameError`, ... */
  readonly how: string;
  readonly code: number;
  readonly codeName: string;
  readonly subcode?: number;
  readonly reason?: CloseReason;
  /** Whose doing it was. */
  readonly origin?: SttErrorOrigin;
  readonly message: string;
  readonly recoverable?: boolean;
  readonly recovery?: string;
  /** The code of its cause. */
  readonly cause?: number;
  readonly facts?: Facts;
  /** Milliseconds since the fault began. */
  readonly ms: number;
}

/** An error that one side must get. */
export interface Expected {
  readonly side: string;
  readonly how: string;
  readonly code: SttErrorCode;
  /** What it may be instead, where nothing from outside decides which of the two it is. */
  readonly or?: SttErrorCode;
  readonly subcode?: number;
  readonly reason?: CloseReason;
  /** What its message must say. */
  readonly says?: RegExp;
  /** The code of its cause. */
  readonly cause?: SttErrorCode;
  /** What else it must say, as it must say it. */
  readonly facts?: Facts;
  /** Milliseconds within which it must come, where the design bounds them. */
  readonly within?: number;
}

/** Shows one line of the reference of errors at work; throws where it does not work. */
export type Recovery<State> = (state: State, context: Context) => Promise<void>;

export interface Row<State> {
  /** What it is about: `0x0101`, `0x0405.2`, `reason.timeout`. */
  readonly id: string;
  /** Which of several rows of that id. */
  readonly title: string;
  /** The fault's command, or what else it is, in words. */
  readonly fault: string;
  readonly needs?: readonly Need[];
  /** Nothing else may run beside it: it takes the processor, or measures it. */
  readonly alone?: boolean;
  /** Milliseconds that the errors may take to come; 5 s unless given. */
  readonly patience?: number;
  /** Makes what the row needs, all of it healthy. */
  setup(context: Context): Promise<State>;
  /** Shows that it is: throws otherwise. */
  baseline(state: State, context: Context): Promise<void>;
  /** The fault. All that the matrix does not do when it runs without injection. */
  inject(state: State, context: Context): Promise<void>;
  /** What meets the fault, where `inject` is not that itself; runs with and without it. */
  act?(state: State, context: Context): Promise<void>;
  readonly expect: readonly Expected[];
  /** Takes the fault away. */
  undo?(state: State, context: Context): Promise<void>;
  /** By line of the reference: `0x0101/1` is the first step of its page. */
  readonly recovery: Readonly<Record<string, Recovery<State>>>;
}

/** A row with its own state forgotten, for lists. */
// biome-ignore lint/suspicious/noExplicitAny: each row hands its own state only to itself
export type AnyRow = Row<any>;

/** Lets the state's type follow from `setup`. */
export function row<State>(row: Row<State>): AnyRow {
  return row;
}

/** `id: title`, by which rows are chosen and reported. */
export function nameOf({ id, title }: Pick<AnyRow, 'id' | 'title'>): string {
  return `${id}: ${title}`;
}
