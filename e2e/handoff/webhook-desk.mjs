// Whole handoffs to the example webhook desk: one that the operator ends, one that
// the user ends, and one that nobody answers.
import assert from 'node:assert/strict';
import { streamClient, socketClient } from '../clients.mjs';
import { newAgent, newConversation, readLog, refusal } from './api.mjs';
import { Chat } from './chat.mjs';
import { Console } from './console.mjs';
import { Desk, operatorName, success } from './desk.mjs';
import { eventually } from './eventually.mjs';

const address = 'mei.lin@example.com';
const lateAnswer = 'This answer comes too late and must never be seen.';

/** What is said, in order; the log checks look for it where it must not be. */
export const dialogue = {
  ask: 'Do you ship to Penghu?',
  answer: 'Yes, delivery to Penghu takes five to seven days.',
  request: 'My parcel is late, let me talk to a person.',
  noAddress: 'I would rather not say.',
  address,
  whileWaiting: 'Is anybody there?\n誰か、いますか？ 🙂',
  hello: 'Hello, this is support. I am checking your parcel now.',
  order: 'Thank you. It is order 4711.',
  found: 'It is on its way & arrives <today>.',
  lateAnswer,
};

const connectionFields = `deskConnection { id status lastError lastErrorCode lastErrorAt checkedAt fields { name value } secretsSet
  receiveAddresses { label url } }`;

export async function webhookDesk(check, server) {
  const agent = await newAgent(server, 'Shop');
  const desk = await Desk.start(agent);
  const { id, user } = await newConversation(agent, { user: { id: 'member-20417', name: 'Mei' } });
  const socket = { url: server.socket, bearer: user.bearer };
  const chat = new Chat(socketClient(socket), id);
  const runtime = new Chat(streamClient({ url: server.graphql, bearer: agent.bearer }), id);
  const handoffs = []; // { id, ref } as they are made

  const write = (text) => user.mutate('postUserMessage', { conversationId: id, text }, 'message { seq } control epoch handoff { state }');
  const answer = (epoch, text) => agent.mutate('postAgentMessage', { conversationId: id, epoch, text }, 'message { seq }');
  const ask = (epoch, more) =>
    agent.mutate('requestHandoff', { conversationId: id, epoch, ...more }, 'outcome text handoff { id state deskRef }');
  const settings = (changes) =>
    agent.mutate('updateHandoffSettings', { agentId: agent.id, ...changes }, 'agent { ready } settings { enabled emailPolicy waitTimeoutSeconds }');
  const deskGot = async () => (await desk.log()).map(({ path, answered }) => ({ path, answered }));

  await check('webhook desk: refused credentials leave it UNAVAILABLE, with the reason', async () => {
    const fields = desk.fields.map((field) => (field.name === 'password' ? { ...field, value: 'wrong' } : field));
    const { deskConnection } = await agent.mutate('connectDesk', { agentId: agent.id, kind: 'webhook', fields }, connectionFields);
    assert.equal(deskConnection.status, 'UNAVAILABLE');
    assert.equal(deskConnection.lastErrorCode, 'DESK_UNAUTHORIZED');
    assert.match(deskConnection.lastError, /401/);
  });

  await check('webhook desk: right ones make it AVAILABLE, and are not given back', async () => {
    const [connection] = (await agent.query('query ($id: ID!) { agent(id: $id) { deskConnections { id } } }', { id: agent.id })).agent
      .deskConnections;
    const fields = desk.fields.filter(({ name }) => name === 'password');
    await agent.mutate('updateDeskConnection', { deskConnectionId: connection.id, fields }, connectionFields);
    const { deskConnection } = await agent.mutate('verifyDeskConnection', { deskConnectionId: connection.id }, connectionFields);
    assert.equal(deskConnection.status, 'AVAILABLE');
    assert.equal(deskConnection.lastError, null);
    assert.deepEqual(deskConnection.secretsSet.toSorted(), ['password', 'signing_secret']);
    assert.deepEqual(
      deskConnection.fields.map(({ name }) => name).filter((name) => ['password', 'signing_secret'].includes(name)),
      [],
    );
    assert.deepEqual(
      deskConnection.receiveAddresses.map(({ url }) => url),
      [`${server.url}/v1/human/message/receive`, `${server.url}/v1/human/close`],
    );
  });

  await check('before it is switched on, a request is NOT_READY and changes nothing', async () => {
    const asked = await ask(1);
    assert.deepEqual(asked, { outcome: 'NOT_READY', text: null, handoff: null });
    const changed = await settings({ enabled: true, emailPolicy: 'ASK', trigger: 'When the user asks for a person.' });
    assert.deepEqual(changed, { agent: { ready: true }, settings: { enabled: true, emailPolicy: 'ASK', waitTimeoutSeconds: 60 } });
  });

  await check('the user and the agent talk', async () => {
    assert.deepEqual(await write(dialogue.ask), { message: { seq: 1 }, control: 'AGENT', epoch: 1, handoff: null });
    await answer(1, dialogue.answer);
    await write(dialogue.request);
    await chat.upTo(3);
  });

  await check('a request without an address asks the user for it', async () => {
    const asked = await ask(1, { note: 'Parcel is late', summary: 'Wants a person', idempotencyKey: 'first' });
    assert.equal(asked.outcome, 'EMAIL_REQUIRED');
    assert.equal(asked.handoff.state, 'COLLECTING_EMAIL');
    handoffs.push(asked.handoff);
    assert.equal((await ask(1, { idempotencyKey: 'first' })).handoff.id, asked.handoff.id);
    await chat.until({ notice: 'EMAIL_ASK' });
    await write(dialogue.noAddress);
    await chat.until({ notice: 'EMAIL_INVALID' });
    assert.deepEqual(await deskGot(), []);
  });

  await check('establish brings the address and the context', async () => {
    await write(dialogue.address);
    await chat.until({ notice: 'CONNECTING', statusCode: 29 });
    const [{ body, headers, path, answered, repeat }] = await desk.log();
    assert.deepEqual({ path, answered, repeat }, { path: '/conversation/establish', answered: 200, repeat: false });
    const { conversation_id: ref, timestamp, ...rest } = body;
    assert.match(ref, /^[0-9a-f]{24}$/);
    assert(Math.abs(timestamp - Date.now()) < 60_000);
    assert.deepEqual(rest, {
      email: address,
      bot_id: agent.id,
      body: [
        { message_type: 'QUESTION', text: dialogue.ask },
        { message_type: 'ANSWER', text: dialogue.answer },
        { message_type: 'QUESTION', text: dialogue.request },
        { message_type: 'ANSWER', text: '' },
      ],
      user_info: { phone: null, email: address, user_id: 'member-20417', anonymous_id: null },
    });
    assert.equal(headers['content-type'], 'application/json');
    assert.match(headers.authorization, /^Basic /);
    assert.match(headers['webhook-signature'], /^v1,/);
    handoffs[0].ref = ref;
    const { handoff } = await agent.query('query ($id: ID!) { handoff(id: $id) { deskRef state waitingSince deadlineKind } }', handoffs[0]);
    assert.equal(handoff.deskRef, ref);
    assert.equal(handoff.state, 'WAITING');
    assert.equal(handoff.deadlineKind, 'WAIT');
    assert(handoff.waitingSince);
  });

  const handoffsConsole = new Console(streamClient({ url: server.graphql, bearer: agent.bearer }), agent.id);
  await check('a console gets the open handoff first', async () => {
    const { handoff, initial } = await handoffsConsole.until((update) => update.handoff.id === handoffs[0].id);
    assert.equal(initial, true);
    assert.equal(handoff.state, 'WAITING');
  });

  await check('what the user writes while waiting reaches the desk', async () => {
    const { control, epoch, handoff } = await write(dialogue.whileWaiting);
    assert.deepEqual({ control, epoch, handoff }, { control: 'HANDOFF', epoch: 2, handoff: { state: 'WAITING' } });
    await desk.transcript(handoffs[0].ref, (lines) => lines.some(([, text]) => text === dialogue.whileWaiting));
  });

  await check("the operator's first message connects", async () => {
    assert.deepEqual(await desk.reply(handoffs[0].ref, dialogue.hello), success);
    await chat.until({ notice: 'CONNECTED', statusCode: 31 });
    await chat.until({ author: 'OPERATOR', text: dialogue.hello, operatorName });
  });

  await check('a late message of the agent is STALE_CONTROL', async () => {
    for (const epoch of [1, 2]) {
      const { code, control } = await refusal(answer(epoch, lateAnswer));
      assert.deepEqual({ code, control }, { code: 'STALE_CONTROL', control: 'HANDOFF' });
    }
    assert.equal((await ask(1)).outcome, 'ALREADY_ACTIVE');
  });

  await check('the user answers, and typing is passed on', async () => {
    await write(dialogue.order);
    await desk.transcript(handoffs[0].ref, (lines) => lines.some(([, text]) => text === dialogue.order));
    await user.mutate('sendSignal', { conversationId: id, kind: 'TYPING' }, 'accepted');
    await runtime.signalled({ author: 'USER', kind: 'TYPING' });
  });

  await check('a reply that comes twice is shown once', async () => {
    const body = { conversation_id: handoffs[0].ref, timestamp: Date.now(), body: dialogue.found };
    const twice = await Promise.all([1, 2].map(() => tell(agent, '/v1/human/message/receive', body)));
    assert.deepEqual(twice, [success, success]);
    assert.deepEqual(await tell(agent, '/v1/human/message/receive', body), success);
    await chat.until({ author: 'OPERATOR', text: dialogue.found });
    const shown = (await readLog(agent, id)).filter(({ text }) => text === dialogue.found);
    assert.equal(shown.length, 1);
  });

  await check("the desk's mistakes are answered as documented", async () => {
    const stranger = await newAgent(server, 'Stranger');
    await stranger.mutate('connectDesk', { agentId: stranger.id, kind: 'webhook', fields: desk.fields }, connectionFields);
    const good = { conversation_id: handoffs[0].ref, timestamp: Date.now(), body: 'x' };
    const receive = '/v1/human/message/receive';
    for (const [caller, path, body, headers, status, code] of [
      [{ server, bearer: 'hak_wrong' }, receive, good, {}, 401, 40127],
      [user, receive, good, {}, 401, 40127],
      [agent, receive, good, { 'webhook-id': 'x', 'webhook-timestamp': '1', 'webhook-signature': 'v1,AAAA' }, 401, 40127],
      [agent, receive, { ...good, timestamp: 'soon' }, {}, 400, 40000],
      [agent, receive, { ...good, body: undefined }, {}, 400, 40000],
      [agent, receive, { ...good, conversation_id: undefined }, {}, 400, 40000],
      [agent, receive, { ...good, body: 'x'.repeat(2 << 20) }, {}, 413, 40000],
      [stranger, receive, good, {}, 403, 40358],
      [stranger, '/v1/human/close', good, {}, 403, 40358],
      [agent, receive, { ...good, conversation_id: '0'.repeat(24) }, {}, 404, 40356],
    ]) {
      const told = await tell(caller, path, body, headers);
      assert.deepEqual({ status: told.status, code: told.body.code }, { status, code }, JSON.stringify([path, headers, told]));
    }
  });

  await check('the operator ends, and the agent has control again', async () => {
    assert.deepEqual(await desk.end(handoffs[0].ref), success);
    await chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    await chat.until({ notice: 'ENDED_BY_OPERATOR', statusCode: 34 });
    await chat.until({ __typename: 'ControlChanged', control: 'AGENT', epoch: 3 });
    assert.deepEqual(await desk.end(handoffs[0].ref), success, 'ending twice is no mistake');
    const late = await tell(agent, '/v1/human/message/receive', { conversation_id: handoffs[0].ref, timestamp: Date.now(), body: 'Late' });
    assert.deepEqual({ status: late.status, code: late.body.code }, { status: 409, code: 40356 });
    assert.equal((await refusal(answer(1, lateAnswer))).code, 'STALE_CONTROL');
    assert.equal((await refusal(ask(1))).code, 'STALE_CONTROL');
  });

  await check('the return package has the human part', async () => {
    const { handoff } = await agent.query(
      'query ($id: ID!) { handoff(id: $id) { reason returnPackage { reason marker truncated transcript { author text } unanswered { text } } } }',
      handoffs[0],
    );
    const { marker, ...returned } = handoff.returnPackage;
    assert.match(marker, /human/);
    assert.deepEqual(returned, {
      reason: 'OPERATOR_ENDED',
      truncated: false,
      transcript: [
        ['USER', dialogue.noAddress],
        ['USER', dialogue.address],
        ['USER', dialogue.whileWaiting],
        ['OPERATOR', dialogue.hello],
        ['USER', dialogue.order],
        ['OPERATOR', dialogue.found],
      ].map(([author, text]) => ({ author, text })),
      unanswered: [],
    });
    const theUser = await user.query('query ($id: ID!) { handoff(id: $id) { note summary deskRef returnPackage { marker } } }', handoffs[0]);
    assert.deepEqual(theUser.handoff, { note: null, summary: null, deskRef: null, returnPackage: null });
    await answer(3, 'Welcome back.');
  });

  await check('a handoff that the user ends: the desk gets USER_CLOSED', async () => {
    await settings({ contextRounds: 0 });
    await write('Again a person, please.');
    const asked = await user.mutate('requestHandoff', { conversationId: id, waitSeconds: 10 }, 'outcome handoff { id }');
    assert.equal(asked.outcome, 'CONNECTING');
    const { body } = (await desk.log()).at(-1);
    assert.deepEqual(body.body, [
      { message_type: 'QUESTION', text: 'Again a person, please.' },
      { message_type: 'ANSWER', text: '' },
    ]);
    handoffs.push({ ...asked.handoff, ref: body.conversation_id });
    assert.deepEqual(await desk.reply(body.conversation_id, 'How can I help?'), success);
    await write('Never mind.');
    await user.mutate('endHandoff', { conversationId: id }, 'handoff { state reason }');
    await chat.until({ notice: 'ENDED_BY_USER', statusCode: 33 });
    await chat.until({ control: 'AGENT', epoch: 5 });
    await closedAt(desk, body.conversation_id, 'USER_CLOSED');
    assert.deepEqual((await desk.reply(body.conversation_id, 'Too late')).status, 409);
  });

  await check('a handoff that nobody answers, with the policy END: TIMEOUT after 5 s', async () => {
    await settings({ waitTimeoutSeconds: 5, waitAction: 'END' });
    await write('And once more.');
    const asked = await ask(5, { waitSeconds: 10 });
    assert.equal(asked.outcome, 'CONNECTING');
    handoffs.push({ id: asked.handoff.id, ref: asked.handoff.deskRef });
    const connecting = await chat.until({ notice: 'CONNECTING', handoffId: asked.handoff.id });
    const closed = await chat.until({ state: 'CLOSED', reason: 'WAIT_TIMEOUT' });
    await chat.until({ notice: 'ENDED_BY_TIMEOUT', statusCode: 35 });
    await chat.until({ control: 'AGENT', epoch: 7 });
    const waited = (Date.parse(closed.at) - Date.parse(connecting.at)) / 1000;
    assert(waited >= 5 && waited < 15, `it ended after ${waited} s`);
    await closedAt(desk, asked.handoff.deskRef, 'TIMEOUT');
  });

  await check('the desk heard and said exactly what the user saw, in that order', async () => {
    chat.assertNumbered();
    assert.equal(chat.events.filter(({ text }) => text === lateAnswer).length, 0);
    for (const handoff of handoffs) {
      const saw = chat.events
        .filter(({ handoffId, author }) => handoffId === handoff.id && ['USER', 'OPERATOR'].includes(author))
        .filter(({ text }) => text !== address) // it answers our question, and is a field of establish
        .map(({ author, text }) => [author.toLowerCase(), text]);
      const context = (await desk.log()).find(({ body }) => body.conversation_id === handoff.ref).body.body;
      const lines = (await desk.session(handoff.ref)).transcript
        .filter(({ from }) => from !== 'system')
        .slice(context.filter(({ text }) => text !== '').length)
        .map(({ from, text }) => [from, text]);
      if (handoff === handoffs[0]) lines.push(['operator', dialogue.found]); // sent past the desk's page
      assert.deepEqual(lines, saw);
    }
    assert.deepEqual(
      (await desk.log()).filter(({ answered, repeat }) => answered !== 200 || repeat),
      [],
    );
    const left = async () =>
      (await agent.query('query ($id: ID!) { agent(id: $id) { deliveries { nodes { kind status } } } }', { id: agent.id })).agent.deliveries.nodes;
    await eventually('end of the deliveries', async () => (await left()).length === 0);
  });

  await check('graphql-ws, graphql-sse and the log agree on every event', async () => {
    const last = chat.events.length;
    await runtime.upTo(last);
    assert.deepEqual(runtime.events, chat.events);
    assert.deepEqual(await readLog(user, id), chat.events);
    for (const client of [socketClient(socket), streamClient({ url: server.graphql, bearer: user.bearer })]) {
      const latecomer = new Chat(client, id, 5);
      await latecomer.upTo(last);
      assert.deepEqual(latecomer.events, chat.events.slice(5));
      latecomer.leave();
    }
  });

  await check('the console saw every handoff to its end', async () => {
    const reasons = ['OPERATOR_ENDED', 'USER_ENDED', 'WAIT_TIMEOUT'];
    for (const [index, { id: handoffId }] of handoffs.entries()) {
      await handoffsConsole.until(({ handoff }) => handoff.id === handoffId && handoff.state === 'CLOSED');
      const updates = handoffsConsole.updates.filter(({ handoff }) => handoff.id === handoffId);
      assert.equal(updates.at(-1).handoff.reason, reasons[index]);
      assert.equal(updates.filter(({ initial }) => initial).length, index === 0 ? 1 : 0);
      const versions = updates.map(({ handoff }) => handoff.version);
      assert.deepEqual(versions, [...new Set(versions)].toSorted((a, b) => a - b));
    }
  });

  for (const follower of [chat, runtime, handoffsConsole]) follower.leave();
  await desk.stop();
}

/** Calls Handoff as a webhook desk does; gives { status, body }. */
async function tell({ server, bearer }, path, body, headers = {}) {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}`, ...headers },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

/** Waits for the close of a session, which must be the last thing that the desk hears of it. */
async function closedAt(desk, ref, type) {
  await desk.transcript(ref, (lines) => lines.some(([from]) => from === 'system'));
  const heard = (await desk.log()).filter(({ body }) => body.conversation_id === ref);
  assert.deepEqual(
    heard.filter(({ path }) => path === '/conversation/close').map(({ body }) => body.type),
    [type],
  );
  assert.equal(heard.at(-1).path, '/conversation/close');
}
