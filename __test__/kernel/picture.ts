// Terminals as an SVG picture, and back: what a reader sees there can be compared with what was printed.

/** Characters in a line before the next begins, as in a terminal. */
const COLUMNS = 92;
const CHARACTER = 7.85;
const LINE = 18;
const PADDING = 16;
const BAR = 28;

/** Draws terminals below each other, one for each text, with the title of each. */
export function draw(texts: readonly string[], titles: readonly string[]): string {
  const width = Math.ceil(COLUMNS * CHARACTER + 2 * PADDING);
  const windows: string[] = [];
  let top = 0;
  for (const [n, text] of texts.entries()) {
    const rows = text.trimEnd().split('\n').flatMap(wrapped);
    const height = BAR + rows.length * LINE + PADDING;
    const lines = rows.map(
      ({ text: row, ends }, at) =>
        `<text class="${isPrompt(row) ? 'prompt' : 'line'}" data-ends="${ends}" x="${PADDING}" y="${BAR + 14 + at * LINE}">${escaped(row)}</text>`,
    );
    windows.push(
      [
        `<g class="terminal" transform="translate(0 ${top})">`,
        `<rect width="${width}" height="${height}" rx="8" fill="#1d2129"/>`,
        ...['#e5655c', '#e8b64c', '#62b956'].map(
          (colour, at) => `<circle cx="${18 + at * 18}" cy="16" r="5.5" fill="${colour}"/>`,
        ),
        `<text class="title" x="${width / 2}" y="20" text-anchor="middle">${escaped(titles[n] ?? '')}</text>`,
        ...lines,
        '</g>',
      ].join('\n'),
    );
    top += height + PADDING;
  }
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${top}" viewBox="0 0 ${width} ${top}" role="img" xml:space="preserve">`,
    `<title>Two terminals: one machine shows twelve words and receives, the other types them and sends</title>`,
    '<style>text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#d6dae1;white-space:pre}.prompt{fill:#8fd3ff;font-weight:600}.title{fill:#8c93a0}</style>',
    ...windows,
    '</svg>',
  ].join('\n')}\n`;
}

/** The text of the `n`th terminal of a picture that {@link draw} made. */
export function linesOf(picture: string, n: number): string {
  const [, ...terminals] = picture.split('<g class="terminal"');
  const rows = (terminals[n] ?? '').matchAll(
    /<text class="(?:line|prompt)" data-ends="(true|false)"[^>]*>([^<]*)<\/text>/g,
  );
  let text = '';
  for (const [, ends, row = ''] of rows) text += unescaped(row) + (ends === 'true' ? '\n' : '');
  return text;
}

function wrapped(line: string): { text: string; ends: boolean }[] {
  const rows: { text: string; ends: boolean }[] = [];
  for (let at = 0; at === 0 || at < line.length; at += COLUMNS)
    rows.push({ text: line.slice(at, at + COLUMNS), ends: at + COLUMNS >= line.length });
  return rows;
}

function isPrompt(row: string): boolean {
  return /^\w+\$ /.test(row);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

function unescaped(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&');
}
