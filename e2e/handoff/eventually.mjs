import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * Looks again and again until there is something to see, and gives it.
 *
 * @param what  is waited for, for the error
 * @param look  gives it, or something falsy
 * @param there tells what there was instead, for the error
 */
export async function eventually(what, look, there = () => undefined, seconds = 15) {
  for (const deadline = Date.now() + seconds * 1000; ; await pause(10)) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) assert.fail(`no ${what} within ${seconds} s; there is ${JSON.stringify(there(), null, 1)}`);
  }
}
