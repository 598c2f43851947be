/** Why a name from the network was refused; shown to both sides. */
export class NameError extends Error {
  override readonly name = 'NameError';
}

/** Longest file name that common file systems take, in bytes of UTF-8. */
const MAX_NAME_BYTES = 255;

/** Names that Windows keeps for devices, with or without an extension. */
const DEVICE_NAME = /^(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?$/i;

/** What no name may hold: controls, halves of characters, and separators. */
const FORBIDDEN_CHARACTER = /[\p{Cc}\p{Cs}/\\]/u;

/** What Windows takes for a device, a stream of a file or a pattern, and has no file of. */
const NOT_ON_WINDOWS = /[:*?"<>|]/;

/**
 * Characters that are not seen or that change how the rest is shown (bidirectional overrides,
 * zero-width joiners, tags): a name that holds them could pass for another one.
 */
const INVISIBLE_CHARACTER = /[\p{Cf}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/u;

/** Characters that normalisation or a lenient file system would turn into a separator or a dot. */
const LOOKALIKE_CHARACTER = /[\u2024\u2025\u2026\u2044\u2215\u29f8\uff0e\uff0f\uff3c\ufe52\ufe68]/u;

/**
 * The name under which a file from the network may be stored, in Unicode form C.
 *
 * The same rules hold on every platform, so that what one machine accepts does not hurt the next.
 *
 * @throws {NameError} when the name is not the plain name of one file in one folder.
 */
export function checkName(name: string): string {
  const normal = name.normalize('NFC');
  const refuse = (why: string): never => {
    throw new NameError(`the file name ${quote(name)} ${why}`);
  };
  if (normal === '') return refuse('is empty');
  if (normal === '.' || normal === '..') return refuse('names a folder');
  if (FORBIDDEN_CHARACTER.test(normal)) return refuse('holds a separator or a control character');
  const foreign = NOT_ON_WINDOWS.exec(normal)?.[0];
  if (foreign !== undefined)
    return refuse(`holds a ${JSON.stringify(foreign)}, which no file on Windows can have`);
  if (INVISIBLE_CHARACTER.test(normal)) return refuse('holds an invisible character');
  if (LOOKALIKE_CHARACTER.test(normal))
    return refuse('holds a character that passes for a dot or a slash');
  if (normal.startsWith(' ') || /[ .]$/.test(normal))
    return refuse('begins or ends with a space, or ends with a dot');
  if (DEVICE_NAME.test(normal)) return refuse('is a device on Windows');
  if (Buffer.byteLength(normal) > MAX_NAME_BYTES)
    return refuse(`is longer than ${MAX_NAME_BYTES} bytes`);
  return normal;
}

/** How the names begin under which unfinished files stand beside the finished ones, in any case of letters. */
const OWN_NAME = /^\.stt-/i;

/**
 * The name under which a file or folder from the network may stand in the folder of the receiver itself: as
 * {@link checkName}, and none of those that unfinished files have there, which are removed when they are old.
 *
 * @throws {NameError} as {@link checkName}, and for a name that begins with `.stt-`.
 */
export function checkRootName(name: string): string {
  const normal = checkName(name);
  if (OWN_NAME.test(normal))
    throw new NameError(`the file name ${quote(normal)} is kept for unfinished files`);
  return normal;
}

/** `report.pdf`, 1 -> `report (1).pdf`. The result keeps within the length limit. */
export function numberedName(name: string, number: number): string {
  const dot = name.lastIndexOf('.');
  const [stem, extension] = dot > 0 ? [name.slice(0, dot), name.slice(dot)] : [name, ''];
  const suffix = ` (${number})${extension}`;
  let short = stem;
  while (Buffer.byteLength(short + suffix) > MAX_NAME_BYTES && short !== '')
    short = [...short].slice(0, -1).join('');
  return short + suffix;
}

/** A name as it may be printed on a terminal: no control sequence of it survives. */
export function quote(name: string): string {
  const shown = name.length > 80 ? `${name.slice(0, 77)}...` : name;
  return JSON.stringify(shown).replace(
    /[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u${character.codePointAt(0)?.toString(16).padStart(4, '0')}`,
  );
}
