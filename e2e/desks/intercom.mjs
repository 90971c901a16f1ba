// Intercom in external mode: users on the Agent's channel, Operators in the inbox.
import assert from 'node:assert/strict';
import { socketClient } from '../clients.mjs';
import { newAgent, newConversation, readLog, refusal } from '../handoff/api.mjs';
import { Chat } from '../handoff/chat.mjs';
import { eventually } from '../handoff/eventually.mjs';

const dana = 'Dana Helper';
const sam = 'Sam Second';
const secretNote = 'This user is difficult; never let him see this.';
const botAnswer = 'Have you tried to switch it off and on?';
const connectionFields = 'deskConnection { id status lastError lastErrorCode secretsSet fields { name value } receiveAddresses { url } }';

export async function intercom(check, server, simulator) {
  const agent = await newAgent(server, 'Shop');
  const right = (await simulator.fields()).filter(({ name }) => ['access_token', 'client_secret'].includes(name));
  const state = {}; // of the connection

  const status = async () =>
    (await agent.query('query ($id: ID!) { deskConnection(id: $id) { status lastErrorCode } }', { id: state.id })).deskConnection;
  const verify = async () => (await agent.mutate('verifyDeskConnection', { deskConnectionId: state.id }, connectionFields)).deskConnection;

  /** A user who asked for a person, up to "connecting". */
  const waiting = async (question) => {
    const { id, user } = await newConversation(agent, { channel: 'API', user: { id: `member-${question.length}-${Math.random()}`, name: 'Mei' } });
    const chat = new Chat(socketClient({ url: server.socket, bearer: user.bearer }), id);
    const write = (text) => user.mutate('postUserMessage', { conversationId: id, text }, 'message { seq }');
    await write(question);
    const asked = await agent.mutate(
      'requestHandoff',
      { conversationId: id, epoch: 1, note: 'Be quick', summary: 'Parcel late', waitSeconds: 15 },
      'outcome handoff { id deskRef }',
    );
    assert.equal(asked.outcome, 'CONNECTING');
    await chat.until({ notice: 'CONNECTING' });
    return { id, user, chat, write, ref: asked.handoff.deskRef, handoffId: asked.handoff.id };
  };
  const answer = (session, text, by = dana) => simulator.do('answer', session.ref, { by, text });
  const textsOf = (chat, author) => chat.events.filter((event) => event.author === author && !event.notice).map(({ text }) => text);

  await check('the form and the steps are declared', async () => {
    const { deskKinds } = await agent.query('{ deskKinds { kind title modes fields { name label hint secret required } steps } }');
    const kind = deskKinds.find((one) => one.kind === 'intercom');
    assert.deepEqual(
      kind.fields.filter(({ secret }) => secret).map(({ name }) => name),
      ['access_token', 'client_secret'],
    );
    assert(kind.modes.includes('EXTERNAL_TO_DESK'));
    assert(kind.fields.every(({ label, hint }) => label && hint));
    assert(kind.steps.some((step) => step.includes('conversation.admin.replied')));
  });

  await check('a wrong token leaves it UNAVAILABLE, and says what to do', async () => {
    const fields = right.map((field) => (field.name === 'access_token' ? { ...field, value: 'wrong' } : field));
    const { deskConnection } = await agent.mutate('connectDesk', { agentId: agent.id, kind: 'intercom', fields }, connectionFields);
    state.id = deskConnection.id;
    assert.deepEqual([deskConnection.status, deskConnection.lastErrorCode], ['UNAVAILABLE', 'DESK_UNAUTHORIZED']);
    assert.match(deskConnection.lastError, /copy the access token/);
  });

  await check('the right one makes it AVAILABLE, an unreachable Intercom UNAVAILABLE', async () => {
    await agent.mutate('updateDeskConnection', { deskConnectionId: state.id, fields: right }, connectionFields);
    const connected = await verify();
    assert.deepEqual([connected.status, connected.lastError], ['AVAILABLE', null]);
    assert.deepEqual(connected.secretsSet.toSorted(), ['access_token', 'client_secret']);
    assert(!JSON.stringify(connected).includes(right[0].value));
    await simulator.trouble({ every: 1, status: 0 });
    const unreachable = await verify();
    assert.deepEqual([unreachable.status, unreachable.lastErrorCode], ['UNAVAILABLE', 'DESK_UNAVAILABLE']);
    await simulator.trouble();
    assert.equal((await verify()).status, 'AVAILABLE');
    state.address = connected.receiveAddresses[0].url;
    assert.equal((await fetch(state.address, { method: 'HEAD' })).status, 200, 'Intercom looks whether it exists');
    await simulator.webhooks({ address: state.address });
    await agent.mutate('updateHandoffSettings', { agentId: agent.id, enabled: true }, 'agent { ready }');
  });

  await check('a webhook that Intercom has not signed is refused', async () => {
    const body = JSON.stringify({ type: 'notification_event', topic: 'conversation.admin.replied', data: { item: { id: '1' } } });
    for (const headers of [{}, { 'x-hub-signature': 'sha1=0c6f837de09613ebdeaf3b8bc5a82dbd207afa79' }]) {
      assert.equal((await fetch(state.address, { method: 'POST', body, headers })).status, 401);
    }
  });

  await check('a whole session: context, first human answer, both directions, the end by the Operator', async () => {
    const one = await waiting('My parcel is late, let me talk to a person.');
    const session = await simulator.session(one.ref);
    assert.deepEqual(session.lines.map(({ side, private: hidden }) => [side, hidden ?? false]), [['user', false], ['bot', true]]);
    assert.equal(session.lines[0].text, 'My parcel is late, let me talk to a person.');
    assert.match(session.lines[1].text, /Note: Be quick[^]*Summary: Parcel late/);
    for (const by of ['Operator', 'Fin']) await answer(one, botAnswer, by);
    await simulator.do('note', one.ref, { by: dana, text: secretNote });
    await simulator.do('assign', one.ref, { by: dana, to: dana });
    await one.write('Is anybody there?');
    await simulator.said(one.ref, (lines) => lines.some(([, text]) => text === 'Is anybody there?'));
    assert(!one.chat.events.some(({ state: now }) => now === 'ACTIVE'), 'neither a bot, nor a note, nor an assignment connects');
    await answer(one, 'Hello, this is <support> & co.\nHow can I help?');
    await one.chat.until({ state: 'ACTIVE' });
    await one.chat.until({ author: 'OPERATOR', text: 'Hello, this is <support> & co.\nHow can I help?', operatorName: dana });
    await one.write('It is order 4711 🙂');
    await simulator.said(one.ref, (lines) => lines.at(-1)[1] === 'It is order 4711 🙂');
    await simulator.do('answer', one.ref, { by: dana, text: 'See here.', files: ['https://files.example.com/a.png'] });
    const shown = await one.chat.until({ text: 'See here.' });
    assert.deepEqual(shown.attachments.map(({ url }) => url), ['https://files.example.com/a.png']);
    await simulator.do('close', one.ref, { by: dana, text: 'Goodbye!' });
    await one.chat.until({ author: 'OPERATOR', text: 'Goodbye!' });
    await one.chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    await one.chat.until({ control: 'AGENT', epoch: 3 });
    assert.deepEqual(textsOf(one.chat, 'OPERATOR'), ['Hello, this is <support> & co.\nHow can I help?', 'See here.', 'Goodbye!']);
    assert(!JSON.stringify(await readLog(one.user, one.id)).includes('difficult'));
    assert.equal((await refusal(agent.mutate('postAgentMessage', { conversationId: one.id, epoch: 1, text: 'Late' }, 'message { seq }'))).code, 'STALE_CONTROL');
    one.chat.assertNumbered();
    one.chat.leave();
  });

  await check('the end by the user closes the conversation, once', async () => {
    const two = await waiting('Again a person, please.');
    await answer(two, 'Yes?', sam);
    await two.chat.until({ author: 'OPERATOR', text: 'Yes?', operatorName: sam });
    await two.user.mutate('endHandoff', { conversationId: two.id }, 'handoff { state }');
    const closed = () => simulator.session(two.ref).then((session) => session.state === 'closed' && session);
    const { lines } = await eventually('closed conversation', closed);
    assert.equal(lines.filter(({ kind }) => kind === 'close').length, 1);
    assert.match(lines.at(-1).text, /user ended/);
    await two.chat.until({ state: 'CLOSED', reason: 'USER_ENDED' });
    two.chat.leave();
  });

  await check('webhooks lost, doubled, late and in the wrong order: nothing lost, nothing twice, in order', async () => {
    const three = await waiting('A person, whatever happens.');
    await simulator.webhooks({ copies: 3, reorder: 4, delayMillis: 20 });
    const told = Array.from({ length: 10 }, (_, n) => `answer ${n + 1}`);
    for (const text of told) await answer(three, text);
    await three.chat.until({ text: told.at(-1) });
    await simulator.webhooks({ lose: 2 });
    for (const text of ['lost 1', 'lost 2', 'not lost']) {
      told.push(text);
      await answer(three, text);
    }
    await three.chat.until({ text: 'not lost' });
    await simulator.webhooks({ lose: 1 });
    told.push('lost before the end');
    await answer(three, told.at(-1));
    await simulator.webhooks({});
    await simulator.do('close', three.ref, { by: dana });
    await three.chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    assert.deepEqual(textsOf(three.chat, 'OPERATOR'), told);
    three.chat.assertNumbered();
    three.chat.leave();
  });

  await check('a slow API that refuses, fails, hangs up: nothing lost, nothing twice, in order, both ways', async () => {
    const four = await waiting('A person, on a bad day.');
    await answer(four, 'Go on.');
    await four.chat.until({ text: 'Go on.' });
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
        await Promise.all([four.write(`question ${n}`), answer(four, `reply ${n}`)]);
      }
      await simulator.said(four.ref, (lines) => lines.some(([, text]) => text === wrote.at(-1)), 25);
    }
    await simulator.trouble();
    await four.chat.until({ text: told.at(-1) });
    const lines = await simulator.said(four.ref, () => true);
    assert.deepEqual(lines.filter(([side]) => side === 'user').map(([, text]) => text), wrote);
    assert.deepEqual(textsOf(four.chat, 'OPERATOR'), told);
    assert.deepEqual(textsOf(four.chat, 'USER'), wrote);
    four.chat.assertNumbered();
    await simulator.do('close', four.ref, { by: dana });
    await four.chat.until({ state: 'CLOSED' });
    four.chat.leave();
  }, { seconds: 50 });

  await check('an outage makes it UNAVAILABLE by itself, its end AVAILABLE, and every message arrives', async () => {
    const all = await Promise.all(Array.from({ length: 5 }, (_, n) => waiting(`Person ${n}, please.`)));
    await simulator.trouble({ every: 1, status: 503 });
    await Promise.all(all.map((one) => one.write('During the outage')));
    await eventually('UNAVAILABLE', async () => (await status()).status === 'UNAVAILABLE', status);
    assert.equal((await status()).lastErrorCode, 'DESK_UNAVAILABLE');
    await simulator.trouble();
    for (const one of all) {
      const lines = await simulator.said(one.ref, (said) => said.at(-1)[1] === 'During the outage', 30);
      assert.equal(lines.filter(([, text]) => text === 'During the outage').length, 1);
      one.chat.leave();
    }
    await eventually('AVAILABLE', async () => (await status()).status === 'AVAILABLE', status);
  }, { seconds: 45 });

  await check('the server stops cleanly; its log has no error, no text of people, no credential', async () => {
    await server.stop();
    const secrets = [...right.map(({ value }) => value), 'difficult', 'switch it off', 'order 4711', 'Goodbye!', 'parcel is late'];
    assert.deepEqual(
      server.log.filter((line) => /level=ERROR|panic/i.test(line) || secrets.some((secret) => line.includes(secret))),
      [],
    );
    assert(server.log.some((line) => line.includes('a desk is simulated')));
    assert(server.log.some((line) => /SIMULATED +the desk intercom is at/.test(line)));
  });
}
