import { formatAddress } from '../../address.ts';
import { ExitCode } from '../exit-codes.ts';
import { CliError } from '../failure.ts';
import type { Output } from '../output.ts';
import { readPeers, removePeer } from '../peers/book.ts';

/** Lists the machines that this one has been paired with, or their names alone. */
export async function listPeers(names: boolean, output: Output): Promise<void> {
  const peers = await readPeers();
  if (names) {
    process.stdout.write(peers.map(({ name }) => `${name}\n`).join(''));
    return;
  }
  if (peers.length === 0) output.note('no peers; "stt pair" makes one');
  const width = Math.max(0, ...peers.map(({ name }) => name.length));
  for (const { name, nodeId, hosts, port, pairedAt } of peers) {
    const since = new Date(pairedAt).toISOString();
    output.result(
      'peer',
      { name, nodeId, hosts, port, pairedAt: since },
      `${name.padEnd(width)}  ${nodeId.slice(0, 16)}…  ${formatAddress({ address: hosts[0] ?? '-', port })}  paired ${since.slice(0, 10)}`,
    );
  }
}

/** Forgets one. It still has the seed: only another seed keeps it out. */
export async function forgetPeer(name: string, output: Output): Promise<void> {
  if (!(await removePeer(name.toLowerCase()))) {
    throw new CliError(
      ExitCode.Usage,
      'there is no peer of that name.',
      'see "stt peers" for the names.',
    );
  }
  output.result('forgotten', { name: name.toLowerCase() }, `forgot ${name.toLowerCase()}`);
  output.note('It still holds the seed: to keep it out, make another seed for the others.');
}
