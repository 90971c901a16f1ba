// LiveChat in DESK_TO_DESK: users in its messenger, the Agent in the seat of an agent there.
import assert from 'node:assert/strict';
import { socketClient, streamClient } from '../clients.mjs';
import { newAgent, newConversation, readLog, refusal } from '../handoff/api.mjs';
import { Chat } from '../handoff/chat.mjs';
import { eventually } from '../handoff/eventually.mjs';
import { Awaiting } from './awaiting.mjs';

const dana = 'Dana Helper';
const lee = 'Lee';
const theAgent = 'AI Agent';
const connectionFields = 'deskConnection { id status lastError lastErrorCode receiveAddresses { url } }';

/** Nothing was promised to be said that LiveChat does not take: from the transfer on it speaks itself. */
function assertNothingFailed(log) {
  assert.deepEqual(log.filter((event) => event.__typename === 'DeliveryFailed'), []);
}

export async function livechatMessenger(check, server, simulator) {
  const agent = await newAgent(server, 'Shop');
  const { deskKinds } = await agent.query('{ deskKinds { kind fields { name modes } } }');
  const asked = deskKinds.find(({ kind }) => kind === 'livechat').fields.filter(({ modes }) => modes.includes('DESK_TO_DESK'));
  const right = (await simulator.fields()).filter((field) => asked.some(({ name }) => name === field.name));
  const but = (name, value) => right.map((field) => (field.name === name ? { name, value } : field));
  const connect = (fields) => agent.mutate('connectDesk', { agentId: agent.id, kind: 'livechat', mode: 'DESK_TO_DESK', fields }, connectionFields);
  const answer = (id, epoch, text) => agent.mutate('postAgentMessage', { conversationId: id, epoch, text }, 'message { seq }');
  const ask = (id, epoch) =>
    agent.mutate('requestHandoff', { conversationId: id, epoch, note: 'Be quick', summary: 'Parcel late', waitSeconds: 10 }, 'outcome handoff { id state }');
  const by = (person) => (command, session, text) => simulator.do(command, session, { by: person, text });
  const danaDoes = by(dana);
  const userWrites = (session, text) => simulator.do('write', session, { text });
  const holder = (session, who) => eventually(`${session} with ${who}`, async () => (await simulator.session(session)).holder === who);
  const spoken = (events, ...authors) => events.filter(({ author }) => authors.includes(author)).map(({ text }) => text);
  const last = (text) => (lines) => lines.at(-1)?.[1] === text;
  let awaiting;

  /** What somebody began in the messenger, once it was told to the runtime. */
  const begun = async () => {
    const { id: session } = await simulator.session();
    const conversation = await awaiting.until(session);
    const chat = new Chat(streamClient({ url: server.graphql, bearer: agent.bearer }), conversation.id);
    return { session, id: conversation.id, conversation, chat };
  };
  const begin = async (name, text) => {
    await simulator.do('begin', '', { by: name, text });
    return begun();
  };

  await check('humans to hand over to are asked for, and looked for; a wrong token is told', async () => {
    const { code, field } = await refusal(connect(right.filter(({ name }) => name !== 'human_group_id')));
    assert.deepEqual([code, field], ['INVALID_INPUT', 'fields.human_group_id']);
    const { deskConnection } = await connect(but('human_group_id', '77'));
    assert.equal(deskConnection.status, 'UNAVAILABLE');
    assert.match(deskConnection.lastError, /no group 77: correct the human group id/);
    const update = async (fields) => {
      await agent.mutate('updateDeskConnection', { deskConnectionId: deskConnection.id, fields }, connectionFields);
      return (await agent.mutate('verifyDeskConnection', { deskConnectionId: deskConnection.id }, connectionFields)).deskConnection;
    };
    assert.match((await update(but('human_group_id', '5'))).lastError, /seat is in the group of people.*take it out/);
    const wrong = await update(but('token', 'another-token'));
    assert.deepEqual([wrong.status, wrong.lastErrorCode], ['UNAVAILABLE', 'DESK_UNAUTHORIZED']);
    assert.equal((await update(right)).status, 'AVAILABLE');
    await simulator.webhooks({ address: deskConnection.receiveAddresses[0].url });
    await agent.mutate('updateHandoffSettings', { agentId: agent.id, enabled: true }, 'agent { ready }');
    awaiting = new Awaiting(socketClient({ url: server.socket, bearer: agent.bearer }), agent.id);
  });

  await check('a user of another channel is refused', async () => {
    const { id } = await newConversation(agent, { channel: 'API' });
    assert.equal((await ask(id, 1)).outcome, 'WRONG_CHANNEL');
    assert.equal((await refusal(agent.mutate('startConversation', { channel: 'LIVECHAT' }, 'conversation { id }'))).code, 'INVALID_INPUT');
  });

  await check('the user, the Agent, humans who were asked, the next thread, and the Agent again', async () => {
    const { session, id, conversation, chat } = await begin('Ulla User', 'Where is my parcel?\nIt is <late>');
    assert.equal(conversation.channel, 'LIVECHAT');
    assert.deepEqual([conversation.user.name, conversation.user.email], ['Ulla User', 'ulla@example.com']);
    await answer(id, 1, 'It is on its way & arrives <today>.');
    await simulator.said(session, last('It is on its way & arrives <today>.'));
    await simulator.do('write', session, { files: ['https://files.example.com/receipt.png'] });
    const { attachments } = await chat.until({ author: 'USER', text: '' });
    assert.deepEqual(attachments.map(({ url }) => url), ['https://files.example.com/receipt.png']);
    await userWrites(session, 'I want a person.');
    await awaiting.until(session, 4);
    assert.equal((await ask(id, 1)).outcome, 'CONNECTING');
    await holder(session, dana);
    const { lines } = await simulator.session(session);
    assert.match(lines.find((line) => line.private).text, /Note: Be quick[^]*Summary: Parcel late/);
    await chat.until({ notice: 'CONNECTING' });
    assert.equal((await refusal(answer(id, 1, 'Too late'))).code, 'STALE_CONTROL');

    await userWrites(session, 'Anybody?');
    await by('ChatBot')('answer', session, 'I am a bot');
    await danaDoes('whisper', session, 'A private note');
    await danaDoes('answer', session, 'Hello, this is Dana.');
    await chat.until({ state: 'ACTIVE' });
    await chat.until({ author: 'OPERATOR', text: 'Hello, this is Dana.' });
    await userWrites(session, 'Order 4711');
    await chat.until({ author: 'USER', text: 'Order 4711' });
    await simulator.do('transfer', session, { to: theAgent });
    await chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    const { seq } = await chat.until({ control: 'AGENT', epoch: 3 });

    await userWrites(session, 'One more thing');
    await awaiting.until(session, seq + 1);
    await answer(id, 3, 'Here I am again.');
    await simulator.said(session, last('Here I am again.'));
    await holder(session, theAgent);
    const log = await readLog(agent, id);
    assertNothingFailed(log);
    assert(!JSON.stringify(log).includes('dana@example.com'));
    assert.deepEqual(spoken(log, 'USER', 'AGENT', 'OPERATOR'), [
      'Where is my parcel?\nIt is <late>', 'It is on its way & arrives <today>.', '', 'I want a person.', 'Anybody?', 'Hello, this is Dana.',
      'Order 4711', 'One more thing', 'Here I am again.',
    ]);
    chat.assertNumbered();
    chat.leave();

    await simulator.do('idle', session);
    await simulator.do('return', session, { text: 'It is me again.' });
    const next = await begun();
    assert.notEqual(next.id, id, 'the next thread is a conversation of its own');
    assert.deepEqual(next.conversation.user, conversation.user);
    await answer(next.id, 1, 'Welcome back.');
    await simulator.said(next.session, last('Welcome back.'));
    next.chat.leave();
  });

  await check('a human who takes the chat unasked has it, and its end gives it back', async () => {
    const { session, id, chat } = await begin('Viktor Visitor', 'Hello');
    await answer(id, 1, 'Hello, I am the Agent.');
    await simulator.said(session, last('Hello, I am the Agent.'));
    await simulator.do('transfer', session, { to: lee });
    await by(lee)('answer', session, 'I take this.');
    await chat.until({ state: 'ACTIVE' });
    assert.equal((await refusal(answer(id, 1, 'Too late'))).code, 'STALE_CONTROL');
    await userWrites(session, 'Thank you');
    await chat.until({ author: 'USER', text: 'Thank you' });
    await by(lee)('close', session);
    await chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    await chat.until({ control: 'AGENT', epoch: 3 });
    chat.leave();
  });

  await check('nobody answers: the Agent says so and has the conversation again', async () => {
    await agent.mutate('updateHandoffSettings', { agentId: agent.id, waitTimeoutSeconds: 5, waitAction: 'END' }, 'settings { enabled }');
    const { session, id, chat } = await begin('Ulla User', 'A person, please.');
    assert.equal((await ask(id, 1)).outcome, 'CONNECTING');
    await holder(session, dana);
    const { text } = await chat.until({ notice: 'ENDED_BY_TIMEOUT' });
    await holder(session, theAgent);
    await simulator.said(session, last(text));
    chat.leave();
  });

  await check('a question whose webhook is lost comes with the next one, and who asks', async () => {
    await simulator.webhooks({ lose: 1 });
    await simulator.do('begin', '', { by: 'Ulla User', text: 'Nobody is told this' });
    const { id: session } = await simulator.session();
    await userWrites(session, 'Hello?');
    const { id, user } = await awaiting.until(session, 2);
    await simulator.webhooks({});
    assert.equal(user.name, 'Ulla User');
    assert.deepEqual(spoken(await readLog(agent, id), 'USER'), ['Nobody is told this', 'Hello?']);
  });

  await check('webhooks doubled, late and reordered, an API that refuses, fails, hangs up: nothing lost, nothing twice', async () => {
    await agent.mutate('updateHandoffSettings', { agentId: agent.id, waitTimeoutSeconds: 60 }, 'settings { enabled }');
    const { session, id, chat } = await begin('Viktor Visitor', 'question 0');
    const asks = ['question 0'];
    const answered = [];
    let n = 0;
    const talk = async (epoch) => {
      for (let k = 0; k < 3; k++) {
        n++;
        asks.push(`question ${n}`);
        answered.push(`answer ${n}`);
        await userWrites(session, `question ${n}`);
        await answer(id, epoch, `answer ${n}`);
      }
      const heard = () => asks.every((text) => spoken(chat.events, 'USER').includes(text));
      await eventually('all questions', heard, () => spoken(chat.events, 'USER'), 20);
      await simulator.said(session, (lines) => lines.some(([, text]) => text === answered.at(-1)), 20);
    };
    await simulator.webhooks({ copies: 3, reorder: 3, delayMillis: 20 });
    await simulator.trouble({ every: 3, times: 2, status: 429 });
    await talk(1);
    await simulator.webhooks({ copies: 2 });
    await simulator.trouble({ every: 2, times: 2, status: 500, done: true });
    await talk(1);
    await simulator.webhooks({});
    await simulator.trouble({ every: 2, times: 2, status: 0, done: true });
    await talk(1);
    await simulator.trouble({ every: 2, times: 2, status: 0, done: true });
    assert.match((await ask(id, 1)).outcome, /CONNECTING|REQUESTING/);
    await holder(session, dana);
    await simulator.trouble();
    await danaDoes('answer', session, 'Hi');
    await chat.until({ text: 'Hi' });
    await simulator.do('transfer', session, { to: theAgent });
    await chat.until({ control: 'AGENT', epoch: 3 });
    await simulator.trouble({ every: 3, times: 1, status: 503 });
    await talk(3);
    await simulator.trouble();
    const { lines } = await simulator.session(session);
    assert.deepEqual(lines.filter(({ side }) => side === 'user').map(({ text }) => text), asks);
    assert.deepEqual(lines.filter(({ side, text }) => side === 'bot' && text?.startsWith('answer')).map(({ text }) => text), answered);
    assert.equal(lines.filter((line) => line.private).length, 1);
    const log = await readLog(agent, id);
    assert.deepEqual(spoken(log, 'USER').toSorted(), asks.toSorted());
    assert.deepEqual(spoken(log, 'AGENT'), answered);
    assert.deepEqual(spoken(log, 'OPERATOR'), ['Hi']);
    assertNothingFailed(log);
    chat.assertNumbered();
    chat.leave();
  }, { seconds: 60 });

  await check('the server stops cleanly; its log has no error, no text of people, no credential', async () => {
    awaiting.client.dispose();
    await server.stop();
    const credentials = right.filter(({ name }) => ['token', 'secret_key'].includes(name)).map(({ value }) => value);
    const secrets = [...credentials, 'private note', 'Order 4711', 'Where is my parcel', '@example.com'];
    assert.deepEqual(
      server.log.filter((line) => /level=ERROR|panic/i.test(line) || secrets.some((secret) => line.includes(secret))),
      [],
    );
  });
}
