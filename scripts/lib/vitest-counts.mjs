/** A vitest reporter that sends the number of passed, failed and skipped tests to the parent process. */
export default class CountsReporter {
  onTestRunEnd(modules, unhandledErrors) {
    const counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    for (const module of modules) {
      let tests = 0;
      for (const test of module.children.allTests()) {
        tests += 1;
        const { state } = test.result();
        if (state === 'pending') counts.failed += 1;
        else counts[state] += 1;
      }
      // A file that cannot be loaded has no tests to count.
      if (tests === 0 && module.state() === 'failed') counts.failed += 1;
    }
    process.send?.({ sttCounts: counts });
  }
}
