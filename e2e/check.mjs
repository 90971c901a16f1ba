// A minimal runner: named checks one after another, a line each, and the count.
let passed = 0;
let failed = 0;

/** Runs one check; it fails when `test` throws or takes longer than `seconds`. */
export async function check(name, test, { seconds = 20 } = {}) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`nothing after ${seconds} s`)), seconds * 1000);
  });
  try {
    await Promise.race([test(), late]);
    passed++;
    console.log(`ok     ${name}`);
  } catch (error) {
    failed++;
    console.log(`failed ${name} — ${error?.stack ?? error}`);
  } finally {
    clearTimeout(timer);
  }
}

/** Prints the count and ends the process. */
export function finish() {
  console.log(`${passed} passed, ${failed} failed`);
  process.exit(failed || passed === 0 ? 1 : 0);
}
