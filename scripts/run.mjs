// `node scripts/run.mjs SCRIPT [ARGS...]`: set-up, then the script with the arguments as they came.
import { main, runNode, SetupError } from './lib/process.mjs';
import { setup } from './setup.mjs';

await main(async () => {
  const [script, ...args] = process.argv.slice(2);
  if (script === undefined) throw new SetupError('usage: node scripts/run.mjs SCRIPT [ARGS...]');
  await setup();
  return runNode(script, args, { stdio: 'inherit' });
});
