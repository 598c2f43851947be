/** Whether this is Node: Bun and Deno export its names, and what stands behind some of them is another. */
export const IS_NODE: boolean =
  process.versions.bun === undefined && process.versions.deno === undefined;
