// The logs of the server that everything before has used, at the level debug.
import assert from 'node:assert/strict';
import { bearers } from './api.mjs';
import { confidences } from './built-in-desk.mjs';
import { basicPassword, signingSecret } from './desk.mjs';
import { dialogue } from './webhook-desk.mjs';

export async function logs(check, server) {
  await check('the server stops cleanly with everything done', () => server.stop());

  await check('the log has no text of people, no address, no credential', () => {
    const texts = [...Object.values(dialogue), ...Object.values(confidences)].flatMap((text) => text.split('\n'));
    const secrets = [...texts, ...bearers, basicPassword, signingSecret, 'Bearer '];
    assert.deepEqual(
      server.log.filter((line) => secrets.some((secret) => line.includes(secret))),
      [],
    );
  });

  await check('the log has no error and no panic', () => {
    assert(server.log.some((line) => line.includes('msg=stopped')));
    assert.deepEqual(
      server.log.filter((line) => /level=ERROR|panic/i.test(line)),
      [],
    );
  });
}
