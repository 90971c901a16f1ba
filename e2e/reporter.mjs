// A reporter for node --test that writes what check.mjs writes: a line per test.
import { inspect } from 'node:util';

export default async function* reporter(events) {
  for await (const { type, data } of events) {
    if (type !== 'test:pass' && type !== 'test:fail') continue;
    if (data.skip !== undefined || data.todo !== undefined) yield `skipped ${data.name}\n`;
    else if (type === 'test:pass') yield `ok     ${data.name}\n`;
    else yield `failed ${data.name} — ${inspect(data.details.error?.cause ?? data.details.error)}\n`;
  }
}
