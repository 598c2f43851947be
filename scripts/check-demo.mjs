// `check-demo.mjs FILE SIZE`: the last line of FILE must say that the demo moved SIZE bytes and verified them.
import { readFileSync } from 'node:fs';

const [file, size] = process.argv.slice(2);
const [, digits, unit] = /^(\d+)([KMG]?)$/.exec(size);
const expected = Number(digits) * 1024 ** ' KMG'.indexOf(unit || ' ');

const result = JSON.parse(readFileSync(file, 'utf8').trimEnd().split('\n').at(-1));
const checks = {
  transport: result.transport === 'udp',
  bytes: result.bytes === expected,
  sha256: /^[0-9a-f]{64}$/.test(result.sha256),
  verified: result.verified === true,
  seconds: result.seconds > 0,
  processes: result.processes === 2,
};
const failed = Object.keys(checks).filter((name) => !checks[name]);
for (const name of failed) console.error(`demo: "${name}" is ${JSON.stringify(result[name])}`);
console.log(`demo: ${Object.keys(checks).length - failed.length} passed, ${failed.length} failed`);
process.exitCode = failed.length === 0 ? 0 : 1;
