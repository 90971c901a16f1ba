// The suites of graphql-http and of the websocket protocol against the real server.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { administrator, newAgent, newConversation, readLog } from './api.mjs';
import { Child } from './process.mjs';
import { adminToken, root } from './server.mjs';

/** How many server audits graphql-http has; fewer would mean that some were left out. */
const audits = 61;

export async function transports(check, server) {
  for (const [who, bearer] of Object.entries({ nobody: '', 'the administrator': adminToken })) {
    await check(`graphql-http: all ${audits} audits as ${who}`, async () => {
      const count = await suite('graphql-http-audit.mjs', { HANDOFF_URL: server.graphql, HANDOFF_ADMIN_TOKEN: bearer });
      assert.equal(count, `${audits} passed, 0 failed`);
    });
  }

  const agent = await newAgent(server, 'Protocol');
  const conversation = await newConversation(agent);
  await check(
    'graphql-transport-ws: the protocol suite, to the close codes of a SIGTERM',
    () =>
      suite('protocol.mjs', {
        HANDOFF_URL: server.graphql,
        HANDOFF_ADMIN_TOKEN: adminToken,
        HANDOFF_PID: server.pid,
        // Nothing happens in that conversation, so it stays open in silence.
        HANDOFF_SUBSCRIPTION: JSON.stringify({
          query: 'subscription ($id: ID!) { conversationUpdates(conversationId: $id) { __typename } }',
          variables: { id: conversation.id },
        }),
      }),
    { seconds: 60 },
  );
  await check('SIGTERM ends the server with code 0', () => server.stopped());
  await check('it starts again on the same data', async () => {
    await server.start();
    await conversation.user.mutate('postUserMessage', { conversationId: conversation.id, text: 'Still there?' }, 'epoch');
    const log = await readLog(administrator(server), conversation.id);
    assert.deepEqual(
      log.map(({ seq, author, text }) => ({ seq, author, text })),
      [{ seq: 1, author: 'USER', text: 'Still there?' }],
    );
  });
}

/** Runs one of the suites beside handoff.mjs, shows what fails, and gives its last line, the count. */
async function suite(file, environment) {
  const child = new Child(file, process.execPath, [file], { cwd: join(root, 'e2e'), env: { PATH: process.env.PATH, ...environment } });
  const { code } = await child.ended();
  const count = child.output.at(-1);
  const failures = child.output.filter((line) => !line.startsWith('ok '));
  assert.equal(code, 0, failures.join('\n'));
  return count;
}
