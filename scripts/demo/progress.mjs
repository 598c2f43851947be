// How far the sender is, on a terminal or in a log.
const MIB = 2 ** 20;

/** A line that renews itself on a terminal, a line every tenth of the way elsewhere. */
export function showProgress(total) {
  let tenth = 0;
  return ({ event, bytes, bytesPerSecond }) => {
    if (event !== 'progress' && event !== 'sent') return;
    const share = total === 0 ? 1 : bytes / total;
    const rate = event === 'progress' ? `, ${(bytesPerSecond / 1e6).toFixed(0)} MB/s` : '';
    const text = `  ${(bytes / MIB).toFixed(0)} of ${(total / MIB).toFixed(0)} MiB (${Math.floor(share * 100)} %)${rate}`;
    if (process.stderr.isTTY) {
      const width = 28;
      const filled = Math.round(share * width);
      process.stderr.write(
        `\r  [${'='.repeat(filled)}${' '.repeat(width - filled)}]${text}   ${event === 'sent' ? '\n' : ''}`,
      );
    } else if (Math.floor(share * 10) > tenth || event === 'sent') {
      tenth = Math.floor(share * 10);
      process.stderr.write(`${text}\n`);
    }
  };
}
