/** Characters of foreign text that are shown at most. */
const LONGEST = 500;

/**
 * Text from the far side, made safe for terminals, logs and messages: control and formatting characters
 * are replaced, and no more than a few lines are kept.
 */
export function printable(text: string): string {
  return text.slice(0, LONGEST).replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, '?');
}
