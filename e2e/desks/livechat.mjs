// LiveChat in external mode: users on the Agent's channel, Operators in LiveChat.
import assert from 'node:assert/strict';
import { socketClient } from '../clients.mjs';
import { newAgent, newConversation, readLog, refusal } from '../handoff/api.mjs';
import { Chat } from '../handoff/chat.mjs';
import { eventually } from '../handoff/eventually.mjs';

const dana = 'Dana Helper';
const lee = 'Lee';
const secretNote = 'This user is difficult; never let him see this.';
const botAnswer = 'Have you tried to switch it off and on?';
const connectionFields = 'deskConnection { id status lastError lastErrorCode secretsSet fields { name value } receiveAddresses { url } }';

export async function livechat(check, server, simulator) {
  const agent = await newAgent(server, 'Shop');
  const { deskKinds } = await agent.query('{ deskKinds { kind title modes fields { name label hint secret required modes } steps } }');
  const kind = deskKinds.find((one) => one.kind === 'livechat');
  const asked = kind.fields.filter(({ modes }) => modes.includes('EXTERNAL_TO_DESK')).map(({ name }) => name);
  const right = (await simulator.fields()).filter(({ name }) => asked.includes(name));
  const but = (name, value) => right.map((field) => (field.name === name ? { name, value } : field));
  const state = {}; // of the connection

  const status = async () =>
    (await agent.query('query ($id: ID!) { deskConnection(id: $id) { status lastErrorCode } }', { id: state.id })).deskConnection;
  const update = (fields) => agent.mutate('updateDeskConnection', { deskConnectionId: state.id, fields }, connectionFields);
  const verify = async () => (await agent.mutate('verifyDeskConnection', { deskConnectionId: state.id }, connectionFields)).deskConnection;

  /** A user who asked for a person, up to "connecting". */
  const waiting = async (question, userId = `member-${question.length}-${Math.random()}`) => {
    const { id, user } = await newConversation(agent, { channel: 'API', user: { id: userId, name: 'Mei' } });
    const chat = new Chat(socketClient({ url: server.socket, bearer: user.bearer }), id);
    const write = (text) => user.mutate('postUserMessage', { conversationId: id, text }, 'message { seq }');
    await write(question);
    const requested = await agent.mutate(
      'requestHandoff',
      { conversationId: id, epoch: 1, note: 'Be quick', summary: 'Parcel late', waitSeconds: 15 },
      'outcome handoff { id deskRef }',
    );
    assert.equal(requested.outcome, 'CONNECTING');
    await chat.until({ notice: 'CONNECTING' });
    return { id, user, userId, chat, write, ref: requested.handoff.deskRef };
  };
  const by = (person) => (command, session, more = {}) => simulator.do(command, session.ref, { by: person, ...more });
  const danaDoes = by(dana);
  const answer = (session, text) => danaDoes('answer', session, { text });
  const textsOf = (chat, author) => chat.events.filter((event) => event.author === author && !event.notice).map(({ text }) => text);

  await check('the form and the steps are declared, for each mode its own', async () => {
    assert.deepEqual(
      kind.fields.filter(({ secret }) => secret).map(({ name, modes }) => [name, ...modes]),
      [['webhook_secret', 'EXTERNAL_TO_DESK'], ['token', 'DESK_TO_DESK'], ['secret_key', 'DESK_TO_DESK']],
    );
    assert.deepEqual(kind.fields.find(({ name }) => name === 'when_offline').modes, kind.modes);
    assert(kind.fields.every(({ label, hint }) => label && hint));
    assert(kind.steps.some((step) => step.includes('incoming_event') && step.includes('chat_deactivated')));
    const mixed = [...right, { name: 'token', value: 'x' }];
    const { code, field } = await refusal(agent.mutate('connectDesk', { agentId: agent.id, kind: 'livechat', fields: mixed }, connectionFields));
    assert.deepEqual([code, field], ['INVALID_INPUT', 'fields.token']);
  });

  await check('wrong ids leave it UNAVAILABLE, and it says what to do', async () => {
    const fields = but('client_id', 'another-client');
    const { deskConnection } = await agent.mutate('connectDesk', { agentId: agent.id, kind: 'livechat', fields }, connectionFields);
    state.id = deskConnection.id;
    assert.deepEqual([deskConnection.status, deskConnection.lastErrorCode], ['UNAVAILABLE', 'DESK_UNAUTHORIZED']);
    assert.match(deskConnection.lastError, /no app with this client id; copy it/);
    for (const [name, value, says] of [
      ['redirect_uri', 'https://elsewhere.example.com/', /not on the app's whitelist; add exactly it/],
      ['organization_id', '00000000-3e2f-4a1b-8c9d-0e1f2a3b4c5d', /no LiveChat account with this organization id; copy it/],
    ]) {
      await update(but(name, value));
      const wrong = await verify();
      assert.deepEqual([wrong.status, wrong.lastErrorCode], ['UNAVAILABLE', 'DESK_UNAUTHORIZED'], name);
      assert.match(wrong.lastError, says);
    }
  });

  await check('the right ones make it AVAILABLE, an unreachable LiveChat UNAVAILABLE', async () => {
    await update(right);
    const connected = await verify();
    assert.deepEqual([connected.status, connected.lastError], ['AVAILABLE', null]);
    assert.deepEqual(connected.secretsSet, ['webhook_secret']);
    assert(!JSON.stringify(connected).includes(right.find(({ name }) => name === 'webhook_secret').value));
    await simulator.trouble({ every: 1, status: 0 });
    const unreachable = await verify();
    assert.deepEqual([unreachable.status, unreachable.lastErrorCode], ['UNAVAILABLE', 'DESK_UNAVAILABLE']);
    await simulator.trouble();
    assert.equal((await verify()).status, 'AVAILABLE');
    state.address = connected.receiveAddresses[0].url;
    await simulator.webhooks({ address: state.address });
    await agent.mutate('updateHandoffSettings', { agentId: agent.id, enabled: true }, 'agent { ready }');
  });

  await check('a webhook without the secret key is refused', async () => {
    const body = { action: 'chat_deactivated', organization_id: right[0].value, payload: { chat_id: 'TA1', thread_id: 'TB1' } };
    for (const secret of [undefined, '', 'another']) {
      const sent = await fetch(state.address, { method: 'POST', body: JSON.stringify({ ...body, secret_key: secret }) });
      assert.equal(sent.status, 401);
    }
  });

  await check('a whole session: context, first human answer, both directions, files, the end by the Operator', async () => {
    const one = await waiting('My parcel is late, let me talk to a person.');
    const { lines, user } = await simulator.session(one.ref);
    assert.equal(user, 'Mei');
    assert(lines.every(({ side }) => side === 'user'), 'LiveChat has no notes by customers');
    assert.match(lines[0].text, /Note: Be quick[^]*Summary: Parcel late/);
    assert.equal(lines.at(-1).text, 'My parcel is late, let me talk to a person.');
    await by('ChatBot')('answer', one, { text: botAnswer });
    await danaDoes('whisper', one, { text: secretNote });
    await simulator.do('queue', one.ref);
    await danaDoes('join', one);
    await danaDoes('read', one);
    await one.write('Is anybody there?');
    await simulator.said(one.ref, (said) => said.at(-1)[1] === 'Is anybody there?');
    assert(!one.chat.events.some(({ state: now }) => now === 'ACTIVE'), 'neither a bot, nor a whisper, nor an entrance connects');
    await answer(one, 'Hello, this is <support> & co.\nHow can I help?');
    await one.chat.until({ state: 'ACTIVE' });
    await one.chat.until({ author: 'OPERATOR', text: 'Hello, this is <support> & co.\nHow can I help?', operatorName: dana });
    await one.write('It is order 4711 🙂');
    await simulator.said(one.ref, (said) => said.at(-1)[1] === 'It is order 4711 🙂');
    const url = 'https://127.0.0.1/receipt.png'; // in a network that nobody's file is fetched from
    const attachments = [{ url, name: 'receipt.png', contentType: 'image/png' }];
    await one.user.mutate('postUserMessage', { conversationId: one.id, text: 'The receipt', attachments }, 'message { seq }');
    await simulator.said(one.ref, (said) => said.some(([, text]) => text.includes('The receipt')) && said.some(([, text]) => text.includes(url)));
    await danaDoes('answer', one, { text: 'See here.', files: ['https://files.example.com/a.png'] });
    await one.chat.until({ text: 'See here.' });
    const shown = await one.chat.until({ author: 'OPERATOR', text: '' });
    assert.deepEqual(shown.attachments.map(({ url }) => url), ['https://files.example.com/a.png']);
    await danaDoes('close', one);
    await one.chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    await one.chat.until({ control: 'AGENT', epoch: 3 });
    assert.deepEqual(textsOf(one.chat, 'OPERATOR'), ['Hello, this is <support> & co.\nHow can I help?', 'See here.', '']);
    const log = JSON.stringify(await readLog(one.user, one.id));
    for (const hidden of ['difficult', 'switch it off', 'archived', 'dana@example.com']) assert(!log.includes(hidden), hidden);
    assert.equal((await refusal(agent.mutate('postAgentMessage', { conversationId: one.id, epoch: 1, text: 'Late' }, 'message { seq }'))).code, 'STALE_CONTROL');
    one.chat.assertNumbered();
    one.chat.leave();
  });

  await check("the user's next handoff is the same chat; what comes late of the one before cannot reach it", async () => {
    const first = await waiting('A person, please.');
    await answer(first, 'Yes?');
    await first.chat.until({ author: 'OPERATOR', text: 'Yes?' });
    await first.user.mutate('endHandoff', { conversationId: first.id }, 'handoff { state }');
    const closed = () => simulator.session(first.ref).then((session) => session.state === 'archived' && session);
    const ended = await eventually('archived chat', closed);
    assert.equal(ended.lines.filter(({ text }) => text === 'The chat was archived').length, 1);
    await first.chat.until({ state: 'CLOSED', reason: 'USER_ENDED' });
    first.chat.leave();

    const second = await waiting('A person once more.', first.userId);
    assert.equal(second.ref.split('/')[0], first.ref.split('/')[0]);
    assert.notEqual(second.ref, first.ref);
    const old = (action, payload) => {
      const [chat, thread] = first.ref.split('/');
      const secret = right.find(({ name }) => name === 'webhook_secret').value;
      const body = { action, organization_id: right[0].value, secret_key: secret, payload: { chat_id: chat, thread_id: thread, ...payload } };
      return fetch(state.address, { method: 'POST', body: JSON.stringify(body) });
    };
    const event = { id: `${first.ref.split('/')[1]}_99`, type: 'message', text: 'Said long ago', author_id: 'dana@example.com', visibility: 'all' };
    assert.equal((await old('incoming_event', { event })).status, 200);
    assert.equal((await old('chat_deactivated', { user_id: 'dana@example.com' })).status, 200);
    await answer(second, 'Here I am.');
    await second.chat.until({ author: 'OPERATOR', text: 'Here I am.' });
    assert.deepEqual(textsOf(second.chat, 'OPERATOR'), ['Here I am.']);

    const third = await waiting('A person in another tab.', first.userId);
    assert.notEqual(third.ref.split('/')[0], first.ref.split('/')[0], 'another customer, as long as the chat is in use');
    for (const session of [second, third]) {
      await danaDoes('close', session);
      await session.chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
      session.chat.assertNumbered();
      session.chat.leave();
    }
  });

  await check('webhooks lost, doubled, late and in the wrong order: nothing lost, nothing twice', async () => {
    const three = await waiting('A person, whatever happens.');
    await simulator.webhooks({ copies: 3, reorder: 4, delayMillis: 20 });
    const told = Array.from({ length: 10 }, (_, n) => `answer ${n + 1}`);
    for (const text of told) await answer(three, text);
    const arrived = () => told.every((text) => textsOf(three.chat, 'OPERATOR').includes(text));
    await eventually('all answers', arrived, () => textsOf(three.chat, 'OPERATOR'));
    await simulator.webhooks({ lose: 2 });
    for (const text of ['lost', 'lost before the end']) {
      told.push(text);
      await answer(three, text);
    }
    await simulator.webhooks({});
    await danaDoes('close', three);
    await three.chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    assert.deepEqual(textsOf(three.chat, 'OPERATOR').toSorted(), told.toSorted());
    three.chat.assertNumbered();
    three.chat.leave();
  });

  await check('without the secret key webhooks are hints: LiveChat is asked, and the order is kept', async () => {
    await agent.mutate('updateDeskConnection', { deskConnectionId: state.id, fields: but('webhook_secret', '') }, connectionFields);
    assert.deepEqual((await verify()).secretsSet, []);
    const four = await waiting('A person who is asked for.');
    await simulator.webhooks({ copies: 2, reorder: 3 });
    const told = Array.from({ length: 6 }, (_, n) => `answer ${n + 1}`);
    await by('ChatBot')('answer', four, { text: botAnswer });
    await danaDoes('whisper', four, { text: secretNote });
    for (const text of told) await answer(four, text);
    await four.chat.until({ text: told.at(-1) });
    const [chat, thread] = four.ref.split('/');
    const forged = { action: 'chat_deactivated', organization_id: right[0].value, payload: { chat_id: chat, thread_id: thread, user_id: 'dana@example.com' } };
    assert.equal((await fetch(state.address, { method: 'POST', body: JSON.stringify(forged) })).status, 200);
    await four.write('Still here?');
    await simulator.said(four.ref, (said) => said.at(-1)[1] === 'Still here?');
    await simulator.webhooks({});
    await danaDoes('close', four);
    await four.chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    assert.deepEqual(textsOf(four.chat, 'OPERATOR'), told);
    four.chat.leave();
    await update(right);
    assert.equal((await verify()).status, 'AVAILABLE');
  });

  await check('a slow API that refuses, fails, hangs up: nothing lost, nothing twice, in order, both ways', async () => {
    const five = await waiting('A person, on a bad day.');
    await answer(five, 'Go on.');
    await five.chat.until({ text: 'Go on.' });
    const wrote = ['A person, on a bad day.'];
    const told = ['Go on.'];
    let n = 0;
    for (const trouble of [
      { every: 3, times: 2, status: 429 },
      { every: 3, times: 2, status: 503 },
      { every: 2, times: 1, status: 500, done: true },
      { every: 2, times: 1, status: 0, done: true },
      { every: 2, times: 1, status: 0 },
    ]) {
      await simulator.trouble({ ...trouble, delayMillis: 10 });
      for (let k = 0; k < 3; k++) {
        n++;
        wrote.push(`question ${n}`);
        told.push(`reply ${n}`);
        await Promise.all([five.write(`question ${n}`), answer(five, `reply ${n}`)]);
      }
      await simulator.said(five.ref, (said) => said.some(([, text]) => text === wrote.at(-1)), 25);
    }
    await simulator.trouble();
    await five.chat.until({ text: told.at(-1) });
    const said = await simulator.said(five.ref, () => true);
    const asked = said.filter(([side]) => side === 'user').map(([, text]) => text);
    assert.deepEqual(asked.slice(asked.indexOf(wrote[0])), wrote);
    assert.deepEqual(textsOf(five.chat, 'OPERATOR'), told);
    assert.deepEqual(textsOf(five.chat, 'USER'), wrote);
    five.chat.assertNumbered();
    await danaDoes('close', five);
    await five.chat.until({ state: 'CLOSED' });
    five.chat.leave();
  }, { seconds: 50 });

  await check('an outage makes it UNAVAILABLE by itself, its end AVAILABLE, and every message arrives', async () => {
    const all = await Promise.all(Array.from({ length: 5 }, (_, n) => waiting(`Person ${n}, please.`)));
    await simulator.trouble({ every: 1, status: 503 });
    await Promise.all(all.map((one) => one.write('During the outage')));
    await eventually('UNAVAILABLE', async () => (await status()).status === 'UNAVAILABLE', status);
    assert.equal((await status()).lastErrorCode, 'DESK_UNAVAILABLE');
    await simulator.trouble();
    for (const one of all) {
      const said = await simulator.said(one.ref, (texts) => texts.at(-1)[1] === 'During the outage', 30);
      assert.equal(said.filter(([, text]) => text === 'During the outage').length, 1);
      one.chat.leave();
    }
    await eventually('AVAILABLE', async () => (await status()).status === 'AVAILABLE', status);
  }, { seconds: 45 });

  await check('the server stops cleanly; its log has no error, no text of people, no credential', async () => {
    await server.stop();
    const secrets = [
      ...right.filter(({ name }) => name === 'webhook_secret').map(({ value }) => value),
      'dal:', 'cst', 'difficult', 'switch it off', 'order 4711', 'parcel is late', '@example.com',
    ];
    assert.deepEqual(
      server.log.filter((line) => /level=ERROR|panic/i.test(line) || secrets.some((secret) => line.includes(secret))),
      [],
    );
    assert(server.log.some((line) => line.includes('a desk is simulated')));
  });
}
