import { AuthenticationError } from '../../index.ts';
import type { ResolvedPeer } from '../peers/resolve.ts';
import type { Tried } from './carrier.ts';
import type { CheckName, CheckResult, Report } from './report.ts';

/** What a handshake decides, in the order in which the responder judges (PROTOCOL.md, section 2.4). */
const STEPS = ['version', 'seed', 'clock', 'peer'] as const satisfies readonly CheckName[];

type Step = (typeof STEPS)[number];

/** Tells what a handshake said of version, seed, clock and peer: those before the one that it failed at have passed. */
export function reportHandshake(report: Report, tried: Tried, to: ResolvedPeer): void {
  const { error, ms } = tried;
  const failed = stepOf(tried);
  for (const step of STEPS) {
    if (failed === undefined || STEPS.indexOf(step) < STEPS.indexOf(failed)) {
      report.add(step, step === 'peer' ? judgePeer(tried, to) : passed(step, ms));
    } else if (step === failed) {
      report.add(step, { status: 'failed', ms, error });
    } else {
      report.skip(step, `the handshake failed before it was known: ${failed}`);
    }
  }
}

function stepOf({ error }: Tried): Step | undefined {
  if (error === undefined) return undefined;
  const { codeName, subcode } = error;
  if (codeName === 'PROTOCOL_VERSION_MISMATCH') return 'version';
  if (codeName !== 'AUTHENTICATION_FAILED' && codeName !== 'HANDSHAKE_FAILURE') return 'peer';
  if (subcode === 3) return 'seed';
  if (subcode === 2) return 'clock';
  return 'peer';
}

function passed(step: Exclude<Step, 'peer'>, ms: number): CheckResult {
  const detail = {
    version: 'both sides speak version 1 of the protocol',
    seed: 'the peer has the same seed',
    clock: "the clocks differ by less than the peer's limit (120 s by default)",
  }[step];
  return { status: 'passed', ms, detail };
}

/** Who answered, and whether that is who was meant. */
function judgePeer(
  { session, ms }: Tried,
  { peerNodeId: wanted, pinnedBy }: ResolvedPeer,
): CheckResult {
  const nodeId = session?.peerNodeId ?? '';
  if (wanted === 'any') {
    const detail = `it is node ${nodeId}; which it should be, nobody said (--peer-id)`;
    return { status: 'passed', ms, detail, facts: { nodeId } };
  }
  if (wanted.toLowerCase() === nodeId) {
    return {
      status: 'passed',
      ms,
      detail: `it is node ${nodeId}, as it should`,
      facts: { nodeId },
    };
  }
  const error = new AuthenticationError(
    `The node that answered is ${nodeId}, not ${wanted.toLowerCase()}${pinnedBy === undefined ? '. Correct the peer id or the address.' : `, which ${pinnedBy} was paired with. "stt peers" has what is known of ${pinnedBy}.`}`,
    { origin: 'local', context: { nodeId: wanted.toLowerCase(), answeredBy: nodeId } },
  );
  return { status: 'failed', ms, error };
}
