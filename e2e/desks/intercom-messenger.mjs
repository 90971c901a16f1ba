// Intercom in DESK_TO_DESK: users in its messenger, the Agent as a teammate there.
import assert from 'node:assert/strict';
import { socketClient, streamClient } from '../clients.mjs';
import { newAgent, newConversation, readLog, refusal } from '../handoff/api.mjs';
import { Chat } from '../handoff/chat.mjs';
import { eventually } from '../handoff/eventually.mjs';
import { Awaiting } from './awaiting.mjs';

const dana = 'Dana Helper';
const theAgent = 'AI Agent';
const team = 'Human support';
const connectionFields = 'deskConnection { id status lastError lastErrorCode receiveAddresses { url } }';

export async function intercomMessenger(check, server, simulator) {
  const agent = await newAgent(server, 'Shop');
  const right = await simulator.fields();
  const connect = (fields) => agent.mutate('connectDesk', { agentId: agent.id, kind: 'intercom', mode: 'DESK_TO_DESK', fields }, connectionFields);
  const answer = (id, epoch, text) => agent.mutate('postAgentMessage', { conversationId: id, epoch, text }, 'message { seq }');
  const ask = (id, epoch) =>
    agent.mutate('requestHandoff', { conversationId: id, epoch, note: 'Be quick', summary: 'Parcel late', waitSeconds: 10 }, 'outcome handoff { id state }');
  const by = (person) => (command, session, text) => simulator.do(command, session, { by: person, text });
  const danaDoes = by(dana);
  const userWrites = (session, text) => simulator.do('write', session, { text });
  const holder = (session, who) => eventually(`${session} with ${who}`, async () => (await simulator.session(session)).holder === who);
  const spoken = (events, ...authors) => events.filter(({ author }) => authors.includes(author)).map(({ text }) => text);
  let awaiting;

  /** Somebody begins in the messenger, and is told to the runtime. */
  const begin = async (name, text) => {
    await simulator.do('begin', '', { by: name, text });
    const { id: session } = await simulator.session();
    const conversation = await awaiting.until(session);
    const chat = new Chat(streamClient({ url: server.graphql, bearer: agent.bearer }), conversation.id);
    return { session, id: conversation.id, conversation, chat };
  };

  await check('humans to hand over to are asked for, and looked for', async () => {
    const without = right.filter(({ name }) => name !== 'human_team_id');
    const { code, field } = await refusal(connect(without));
    assert.deepEqual([code, field], ['INVALID_INPUT', 'fields.human_team_id']);
    const { deskConnection } = await connect([...without, { name: 'human_team_id', value: '5' }]);
    assert.equal(deskConnection.status, 'UNAVAILABLE');
    assert.match(deskConnection.lastError, /no team 5; it has 810200/);
    await agent.mutate('updateDeskConnection', { deskConnectionId: deskConnection.id, fields: right }, connectionFields);
    const verified = await agent.mutate('verifyDeskConnection', { deskConnectionId: deskConnection.id }, connectionFields);
    assert.equal(verified.deskConnection.status, 'AVAILABLE');
    await simulator.webhooks({ address: deskConnection.receiveAddresses[0].url });
    await agent.mutate('updateHandoffSettings', { agentId: agent.id, enabled: true }, 'agent { ready }');
    awaiting = new Awaiting(socketClient({ url: server.socket, bearer: agent.bearer }), agent.id);
  });

  await check('a user of another channel is refused', async () => {
    const { id } = await newConversation(agent, { channel: 'API' });
    assert.equal((await ask(id, 1)).outcome, 'WRONG_CHANNEL');
    assert.equal((await refusal(agent.mutate('startConversation', { channel: 'INTERCOM' }, 'conversation { id }'))).code, 'INVALID_INPUT');
  });

  await check('the user, the Agent, humans who were asked, and the Agent again', async () => {
    const { session, id, conversation, chat } = await begin('Ulla User', 'Where is my parcel?\nIt is <late>');
    assert.equal(conversation.channel, 'INTERCOM');
    assert.deepEqual(conversation.user, { id: 'member-ulla', name: 'Ulla User', email: 'ulla@example.com' });
    await answer(id, 1, 'It is on its way & arrives <today>.');
    await simulator.said(session, (lines) => lines.at(-1)[1] === 'It is on its way & arrives <today>.');
    await userWrites(session, 'I want a person.');
    await awaiting.until(session, 3);
    assert.equal((await ask(id, 1)).outcome, 'CONNECTING');
    await holder(session, team);
    const { lines } = await simulator.session(session);
    assert.match(lines.find((line) => line.private).text, /Note: Be quick[^]*Summary: Parcel late/);
    const { text: connecting } = await chat.until({ notice: 'CONNECTING' });
    await simulator.said(session, (all) => all.some(([side, text]) => side === 'bot' && text === connecting));
    assert.equal((await refusal(answer(id, 1, 'Too late'))).code, 'STALE_CONTROL');

    await userWrites(session, 'Anybody?');
    await by('Fin')('answer', session, 'I am Fin');
    await danaDoes('note', session, 'A private note');
    await danaDoes('answer', session, 'Hello, this is Dana.');
    await chat.until({ state: 'ACTIVE' });
    await chat.until({ author: 'OPERATOR', text: 'Hello, this is Dana.', operatorName: dana });
    await userWrites(session, 'Order 4711');
    await chat.until({ author: 'USER', text: 'Order 4711' });
    await danaDoes('close', session, 'Bye!');
    await chat.until({ author: 'OPERATOR', text: 'Bye!' });
    await chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    const { seq } = await chat.until({ control: 'AGENT', epoch: 3 });

    await userWrites(session, 'One more thing');
    await awaiting.until(session, seq + 1);
    await answer(id, 3, 'Here I am again.');
    await simulator.said(session, (all) => all.at(-1)[1] === 'Here I am again.');
    await holder(session, theAgent);
    const log = await readLog(agent, id);
    assert.deepEqual(spoken(log, 'USER', 'AGENT', 'OPERATOR'), [
      'Where is my parcel?\nIt is <late>', 'It is on its way & arrives <today>.', 'I want a person.', 'Anybody?', 'Hello, this is Dana.',
      'Order 4711', 'Bye!', 'One more thing', 'Here I am again.',
    ]);
    chat.assertNumbered();
    chat.leave();
  });

  await check('a human who writes unasked takes over, and gives it back', async () => {
    const { session, id, chat } = await begin('Viktor Visitor', 'Hello');
    await answer(id, 1, 'Hello, I am the Agent.');
    await simulator.said(session, (lines) => lines.length === 2);
    await danaDoes('answer', session, 'I take this.');
    await chat.until({ state: 'ACTIVE' });
    assert.equal((await refusal(answer(id, 1, 'Too late'))).code, 'STALE_CONTROL');
    await userWrites(session, 'Thank you');
    await chat.until({ author: 'USER', text: 'Thank you' });
    await simulator.do('assign', session, { by: dana, to: theAgent });
    await chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    const { seq } = await chat.until({ control: 'AGENT', epoch: 3 });
    await userWrites(session, 'And you?');
    await awaiting.until(session, seq + 1);
    await answer(id, 3, 'Yes?');
    await simulator.said(session, (lines) => lines.at(-1)[1] === 'Yes?');
    chat.leave();
  });

  await check('nobody answers: the Agent says so and has the conversation again', async () => {
    await agent.mutate('updateHandoffSettings', { agentId: agent.id, waitTimeoutSeconds: 5, waitAction: 'END' }, 'settings { enabled }');
    const { session, id, chat } = await begin('Ulla User', 'A person, please.');
    assert.equal((await ask(id, 1)).outcome, 'CONNECTING');
    await holder(session, team);
    const { text } = await chat.until({ notice: 'ENDED_BY_TIMEOUT' });
    await holder(session, theAgent);
    await simulator.said(session, (lines) => lines.at(-1)[1] === text);
    chat.leave();
  });

  await check('webhooks lost, doubled and reordered, an API that refuses, fails, hangs up: nothing lost, nothing twice, in order', async () => {
    await agent.mutate('updateHandoffSettings', { agentId: agent.id, waitTimeoutSeconds: 60 }, 'settings { enabled }');
    const { session, id, chat } = await begin('Viktor Visitor', 'question 0');
    const asked = ['question 0'];
    const answered = [];
    let n = 0;
    const talk = async (epoch) => {
      for (let k = 0; k < 3; k++) {
        n++;
        asked.push(`question ${n}`);
        answered.push(`answer ${n}`);
        await userWrites(session, `question ${n}`);
        await answer(id, epoch, `answer ${n}`);
      }
      await chat.until({ author: 'USER', text: asked.at(-1) }, 20);
      await simulator.said(session, (lines) => lines.some(([, text]) => text === answered.at(-1)), 20);
    };
    await simulator.webhooks({ copies: 3, reorder: 3, delayMillis: 20 });
    await simulator.trouble({ every: 3, times: 2, status: 429 });
    await talk(1);
    await simulator.webhooks({ copies: 2, lose: 1 });
    await simulator.trouble({ every: 2, times: 2, status: 500, done: true });
    await talk(1);
    await simulator.webhooks({});
    await simulator.trouble({ every: 2, times: 2, status: 0, done: true });
    await talk(1);
    await simulator.trouble({ every: 2, times: 2, status: 0, done: true });
    assert.match((await ask(id, 1)).outcome, /CONNECTING|REQUESTING/);
    await holder(session, team);
    await simulator.trouble();
    await danaDoes('answer', session, 'Hi');
    await chat.until({ text: 'Hi' });
    await danaDoes('close', session, '');
    await chat.until({ control: 'AGENT', epoch: 3 });
    await simulator.trouble({ every: 3, times: 1, status: 503 });
    await talk(3);
    await simulator.trouble();
    const { lines } = await simulator.session(session);
    assert.deepEqual(lines.filter(({ side }) => side === 'user').map(({ text }) => text), asked);
    assert.deepEqual(lines.filter(({ side, text }) => side === 'bot' && text?.startsWith('answer')).map(({ text }) => text), answered);
    assert.equal(lines.filter((line) => line.private).length, 1);
    const log = await readLog(agent, id);
    assert.deepEqual(spoken(log, 'USER'), asked);
    assert.deepEqual(spoken(log, 'AGENT'), answered);
    assert.deepEqual(spoken(log, 'OPERATOR'), ['Hi']);
    assert(!log.some((event) => event.__typename === 'DeliveryFailed'));
    chat.assertNumbered();
    chat.leave();
  }, { seconds: 60 });

  await check('the server stops cleanly; its log has no error, no text of people, no credential', async () => {
    awaiting.client.dispose();
    await server.stop();
    const secrets = [...right.slice(0, 2).map(({ value }) => value), 'private note', 'Order 4711', 'Where is my parcel', 'example.com'];
    assert.deepEqual(
      server.log.filter((line) => /level=ERROR|panic/i.test(line) || secrets.some((secret) => line.includes(secret))),
      [],
    );
  });
}
