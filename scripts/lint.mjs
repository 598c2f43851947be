// `npm run lint`: biome over everything that is not Rust, then the compiler over every TypeScript file.

import { main, runNode } from './lib/process.mjs';
import { setup } from './setup.mjs';

await main(async () => {
  await setup();
  const stdio = 'inherit';
  const biome = await runNode('node_modules/@biomejs/biome/bin/biome', ['ci', '.'], { stdio });
  const tsc = await runNode('node_modules/typescript/bin/tsc', ['-p', 'tsconfig.json'], { stdio });
  return biome !== 0 || tsc !== 0 ? 1 : 0;
});
