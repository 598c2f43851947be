// `check-demo.mjs FILE SIZE KIND`: the last line of FILE must say that the demo moved SIZE bytes by KIND (udp, websocket,
// or handover from the one to the other) and verified them.
import { readFileSync } from 'node:fs';

const [file, size, kind] = process.argv.slice(2);
const [, digits, unit] = /^(\d+)([KMG]?)$/.exec(size);
const expected = Number(digits) * 1024 ** ' KMG'.indexOf(unit || ' ');

const result = JSON.parse(readFileSync(file, 'utf8').trimEnd().split('\n').at(-1));
const { udp, websocket } = result.bytesByCarrier ?? {};
const checks = {
  transport: result.transport === (kind === 'handover' ? 'websocket' : kind),
  bytes: result.bytes === expected,
  sha256: /^[0-9a-f]{64}$/.test(result.sha256),
  verified: result.verified === true,
  seconds: result.seconds > 0,
  processes: result.processes === 2,
  ...(kind === 'handover' && {
    moves: result.moves >= 1,
    reconnects: result.reconnects === 0,
    sessionId: /^[0-9a-f]+$/.test(result.sessionId),
    bytesByCarrier: udp + websocket === expected && Math.min(udp, websocket) * 10 >= expected,
  }),
};
const failed = Object.keys(checks).filter((name) => !checks[name]);
for (const name of failed) console.error(`demo: "${name}" is ${JSON.stringify(result[name])}`);
console.log(
  `demo, ${kind}: ${Object.keys(checks).length - failed.length} passed, ${failed.length} failed`,
);
process.exitCode = failed.length === 0 ? 0 : 1;
