// The server is killed, twice, in the middle of a lively conversation.
import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { socketClient } from '../clients.mjs';
import { newAgent, newConversation, readLog } from './api.mjs';
import { Chat } from './chat.mjs';
import { Desk, success } from './desk.mjs';

const messages = 40; // of each side, in each of the lives of the server
const crashesAt = [messages, 2 * messages];
const total = 3 * messages;

/** A killed process leaves its lease on a conversation's deliveries behind, which on Postgres runs out after 30 s. */
const leaseSeconds = 45;

export async function crashes(check, server) {
  const agent = await newAgent(server, 'Crash');
  const desk = await Desk.start(agent);
  await agent.mutate('connectDesk', { agentId: agent.id, kind: 'webhook', fields: desk.fields }, 'deskConnection { status }');
  await agent.mutate('updateHandoffSettings', { agentId: agent.id, enabled: true }, 'settings { enabled }');
  const { id, user } = await newConversation(agent, { user: { email: 'mei.lin@example.com' } });
  const { handoff } = await agent.mutate(
    'requestHandoff',
    { conversationId: id, epoch: 1, waitSeconds: 10 },
    'outcome handoff { id deskRef }',
  );

  let connections = 0;
  const client = socketClient({ url: server.socket, bearer: user.bearer, on: { connected: () => connections++ } });
  const chat = new Chat(client, id);
  const told = []; // replies that the desk was told success for
  const accepted = []; // what the user wrote, as it was accepted

  await check(
    'SIGKILL in the middle: the client reconnects by itself, and has every event once, in order',
    async () => {
      let written = 0;
      const operator = async () => {
        for (let n = 1; n <= total; n++) {
          const answer = await desk.reply(handoff.deskRef, `reply ${n}`);
          // Without an answer in three tries the desk gives up: nothing was promised.
          if (answer.status !== 0) {
            assert.deepEqual(answer, success);
            told.push(`reply ${n}`);
          }
          written++;
        }
      };
      const theUser = async () => {
        for (let n = 1; n <= total; n++) {
          while (written < n - 2) await pause(1); // both sides talk all the time
          const input = { conversationId: id, text: `message ${n}`, idempotencyKey: String(n) };
          const post = () => insist(() => user.mutate('postUserMessage', input, 'message { seq }'));
          const [first, again] = await Promise.all([post(), post()]);
          assert.deepEqual(again, first);
          accepted.push(`message ${n}`);
        }
      };
      const killer = async () => {
        for (const at of crashesAt) {
          while (written < at) await pause(1);
          await server.crash();
        }
      };
      await Promise.all([operator(), theUser(), killer()]);

      const log = await readLog(agent, id);
      await chat.upTo(log.length);
      chat.assertNumbered();
      assert.deepEqual(chat.events, log);
      assert(connections > crashesAt.length, `the client connected ${connections} times`);
    },
    { seconds: 60 },
  );

  await check('nothing that the desk was told success for is missing, and nothing is there twice', () => {
    const seen = textsOf(chat, 'OPERATOR');
    assert.deepEqual(seen, [...new Set(seen)]);
    assert.deepEqual(
      seen.filter((text) => told.includes(text)),
      told,
    );
    assert(told.length > total / 2, `only ${told.length} of ${total} replies arrived`);
    assert.deepEqual(textsOf(chat, 'USER'), accepted);
  });

  await check(
    'everything that the user wrote reaches the desk once, in order',
    async () => {
      const lines = await desk.transcript(
        handoff.deskRef,
        (all) => all.some(([, text]) => text === accepted.at(-1)),
        leaseSeconds,
      );
      assert.deepEqual(
        lines.filter(([from]) => from === 'user').map(([, text]) => text),
        accepted,
      );
    },
    { seconds: leaseSeconds + 5 },
  );

  chat.leave();
  await check('after two crashes the server stops cleanly', async () => {
    await desk.stop();
    await server.stop();
  });
}

const textsOf = (chat, author) => chat.events.filter((event) => event.author === author).map(({ text }) => text);

/** Calls until there is an answer. Only a lost connection is tried again. */
async function insist(call) {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (error.errors) throw error;
      await pause(20);
    }
  }
}
