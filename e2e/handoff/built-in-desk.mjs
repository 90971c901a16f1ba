// The built-in desk by GraphQL alone, and what of it a User can see.
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { socketClient, streamClient } from '../clients.mjs';
import { newAgent, newConversation, refusal } from './api.mjs';
import { Chat } from './chat.mjs';
import { Console } from './console.mjs';

/** What must never reach a User. */
export const confidences = {
  note: 'NOTE-7f1c: the customer threatened to cancel',
  summary: 'SUMMARY-93ab: third delay this month',
  customField: 'FIELD-5ea0: credit score 412',
  privateNote: 'PRIVATE-d02e: offer a voucher at most',
};

const claimedBy = 'handoff { id state claimedBy operatorName }';

export async function builtInDesk(check, server) {
  const agent = await newAgent(server, 'Built-in');
  const others = await newAgent(server, 'Somebody else');
  const connect = { agentId: agent.id, kind: 'builtin' };
  const { deskConnection } = await agent.mutate('connectDesk', connect, 'deskConnection { status }');
  assert.equal(deskConnection.status, 'AVAILABLE');
  await agent.mutate('updateHandoffSettings', { agentId: agent.id, enabled: true, emailPolicy: 'NEVER' }, 'settings { enabled }');
  const { id, user } = await newConversation(agent, {
    user: { name: 'Mei' },
    customFields: [{ name: 'rating', value: confidences.customField }],
  });

  // Every byte that the user's chat receives.
  const received = [];
  class Recording extends WebSocket {
    constructor(...args) {
      super(...args);
      this.on('message', (data) => received.push(String(data)));
    }
  }
  const chat = new Chat(socketClient({ url: server.socket, bearer: user.bearer, webSocketImpl: Recording }), id);
  const watcher = new Console(streamClient({ url: server.graphql, bearer: agent.bearer }), agent.id);
  const queue = async (claimedBy) => {
    const data = await agent.query(
      'query ($id: ID!, $by: String) { operatorQueue(agentId: $id, claimedBy: $by) { nodes { id state note summary waitingSince claimedBy } } }',
      { id: agent.id, by: claimedBy },
    );
    return data.operatorQueue.nodes;
  };
  let handoff;

  await check('built-in desk: a request appears in the queue, with note and summary', async () => {
    await user.mutate('postUserMessage', { conversationId: id, text: 'A person, please.' }, 'epoch');
    const asked = await agent.mutate(
      'requestHandoff',
      { conversationId: id, epoch: 1, note: confidences.note, summary: confidences.summary, waitSeconds: 10 },
      'outcome handoff { id state }',
    );
    assert.equal(asked.outcome, 'CONNECTING');
    handoff = asked.handoff;
    await chat.until({ notice: 'CONNECTING' });
    const [{ waitingSince, ...waiting }, ...more] = await queue();
    assert.deepEqual(waiting, {
      id: handoff.id,
      state: 'WAITING',
      note: confidences.note,
      summary: confidences.summary,
      claimedBy: null,
    });
    assert(Math.abs(Date.parse(waitingSince) - Date.now()) < 60_000);
    assert.deepEqual(more, []);
    await watcher.until((update) => update.handoff.id === handoff.id && update.handoff.state === 'WAITING');
  });

  await check('built-in desk: one operator claims, another is refused', async () => {
    const claim = (operator) => agent.mutate('claimHandoff', { handoffId: handoff.id, operator }, claimedBy);
    // Both at once: exactly one gets it.
    const outcomes = await Promise.allSettled([claim('Jo'), claim('Ann')]);
    const winners = outcomes.filter(({ status }) => status === 'fulfilled').map(({ value }) => value.handoff.claimedBy);
    assert.equal(winners.length, 1);
    const [winner] = winners;
    const loser = winner === 'Jo' ? 'Ann' : 'Jo';
    assert.equal((await claim(winner)).handoff.claimedBy, winner);
    for (const attempt of [
      () => claim(loser),
      () => agent.mutate('postOperatorMessage', { handoffId: handoff.id, operator: loser, text: 'Me too' }, claimedBy),
      () => agent.mutate('endOperatorSession', { handoffId: handoff.id, operator: loser }, claimedBy),
    ]) {
      const { code, field } = await refusal(attempt());
      assert.deepEqual({ code, field }, { code: 'NOT_ALLOWED_IN_STATE', field: 'operator' });
    }
    assert.deepEqual(
      [(await queue(winner)).map((h) => h.id), await queue(loser)],
      [[handoff.id], []],
    );
    handoff.operator = winner;
  });

  await check('built-in desk: reply and private note', async () => {
    const { operator } = handoff;
    const { note } = await agent.mutate(
      'addOperatorNote',
      { handoffId: handoff.id, operator, text: confidences.privateNote },
      'note { operator text }',
    );
    assert.deepEqual(note, { operator, text: confidences.privateNote });
    const reply = { handoffId: handoff.id, operator, text: 'It arrives today.', idempotencyKey: 'one' };
    const first = await agent.mutate('postOperatorMessage', reply, 'message { seq }');
    assert.deepEqual(await agent.mutate('postOperatorMessage', reply, 'message { seq }'), first);
    await chat.until({ notice: 'CONNECTED' });
    await chat.until({ author: 'OPERATOR', text: 'It arrives today.', operatorName: operator });
    await user.mutate('postUserMessage', { conversationId: id, text: 'Thank you!' }, 'epoch');
    await watcher.until(({ handoff: h }) => h.state === 'ACTIVE' && h.operatorNotes.some(({ text }) => text === confidences.privateNote));
  });

  await check('built-in desk: the operator ends', async () => {
    const ended = await agent.mutate('endOperatorSession', { handoffId: handoff.id, operator: handoff.operator }, 'handoff { state reason }');
    assert.deepEqual(ended.handoff, { state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    await chat.until({ state: 'CLOSED', reason: 'OPERATOR_ENDED' });
    await chat.until({ control: 'AGENT', epoch: 3 });
    assert.deepEqual(await queue(), []);
    const late = agent.mutate('postOperatorMessage', { handoffId: handoff.id, operator: handoff.operator, text: 'Late' }, claimedBy);
    const { code, state } = await refusal(late);
    assert.deepEqual({ code, state }, { code: 'NOT_ALLOWED_IN_STATE', state: 'CLOSED' });
    chat.assertNumbered();
  });

  await check('nothing confidential is in anything that a user token can read', async () => {
    const everything = `
      id agentId conversationId state reason deskKind mode deskConnection { id } deskRef operatorName claimedBy note summary
      operatorNotes { text } returnPackage { marker transcript { text } unanswered { text } } deliveries(first: 1) { nodes { id lastError } }`;
    const queries = [
      [`query ($id: ID!) { conversation(id: $id) { events(first: 20) { nodes { __typename ... on Message { text author operatorName } } } } }`, { id }],
      [`query ($id: ID!) { conversation(id: $id) { customFields { name value } user { name } handoffs(first: 1) { nodes { ${everything} } } } }`, { id }],
      [`query ($id: ID!) { handoff(id: $id) { ${everything} } }`, { id: handoff.id }],
    ];
    const answers = [];
    for (const [query, variables] of queries) {
      for (const accept of ['application/json', 'text/event-stream']) {
        answers.push(await raw(server, user, query, variables, accept));
      }
    }
    const replayed = await replay(server, user, id, chat.events.length);
    assert(received.join().includes('It arrives today.') && replayed.includes('It arrives today.'));
    for (const text of [...received, ...answers, replayed]) {
      assert(!text.includes('"errors"'), text);
      for (const confidence of Object.values(confidences)) assert(!text.includes(confidence), text);
    }
    for (const node of JSON.parse(answers[2]).data.conversation.handoffs.nodes) {
      const { note, summary, claimedBy, deskRef, deskConnection: link, operatorNotes, returnPackage, deliveries } = node;
      assert.deepEqual(
        { note, summary, claimedBy, deskRef, link, operatorNotes, returnPackage, deliveries },
        { note: null, summary: null, claimedBy: null, deskRef: null, link: null, operatorNotes: [], returnPackage: null, deliveries: { nodes: [] } },
      );
    }
  });

  await check('what is not yours is NOT_FOUND or FORBIDDEN', async () => {
    const other = await newConversation(agent);
    const state = 'handoff { state }';
    for (const [expected, call] of [
      ['FORBIDDEN', () => user.query('query ($id: ID!) { agent(id: $id) { name } }', { id: agent.id })],
      ['FORBIDDEN', () => user.query('query ($id: ID!) { operatorQueue(agentId: $id) { nodes { id } } }', { id: agent.id })],
      ['FORBIDDEN', () => user.mutate('addOperatorNote', { handoffId: handoff.id, operator: 'Mei', text: 'x' }, 'note { id }')],
      ['FORBIDDEN', () => user.mutate('postOperatorMessage', { handoffId: handoff.id, operator: 'Mei', text: 'x' }, state)],
      ['FORBIDDEN', () => user.mutate('postAgentMessage', { conversationId: id, epoch: 3, text: 'x' }, 'message { seq }')],
      ['FORBIDDEN', () => user.mutate('createUserToken', { conversationId: id }, 'token')],
      ['FORBIDDEN', () => agent.query('{ agents { nodes { id } } }')],
      ['NOT_FOUND', () => user.query('query ($id: ID!) { conversation(id: $id) { id } }', { id: other.id })],
      ['NOT_FOUND', () => user.mutate('postUserMessage', { conversationId: other.id, text: 'x' }, 'epoch')],
      ['NOT_FOUND', () => others.query('query ($id: ID!) { agent(id: $id) { name } }', { id: agent.id })],
      ['NOT_FOUND', () => others.query('query ($id: ID!) { conversation(id: $id) { id } }', { id })],
      ['NOT_FOUND', () => others.query('query ($id: ID!) { handoff(id: $id) { id } }', { id: handoff.id })],
      ['NOT_FOUND', () => others.query('query ($id: ID!) { operatorQueue(agentId: $id) { nodes { id } } }', { id: agent.id })],
      ['NOT_FOUND', () => others.mutate('claimHandoff', { handoffId: handoff.id, operator: 'Jo' }, state)],
      ['NOT_FOUND', () => others.mutate('createUserToken', { conversationId: id }, 'token')],
    ]) {
      assert.equal((await refusal(call())).code, expected, String(call));
    }
    for (const [caller, conversationId] of [[user, other.id], [others, id]]) {
      const stranger = new Chat(socketClient({ url: server.socket, bearer: caller.bearer, retryAttempts: 0 }), conversationId);
      await stranger.failed('NOT_FOUND');
      stranger.leave();
    }
  });

  chat.leave();
  watcher.leave();
}

/** The bytes of an answer. */
async function raw(server, { bearer }, query, variables, accept) {
  const response = await fetch(server.graphql, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept, authorization: `Bearer ${bearer}` },
    body: JSON.stringify({ query, variables }),
  });
  return response.text();
}

/** The bytes of a conversation over SSE, up to its `last` event. */
async function replay(server, { bearer }, id, last) {
  const response = await fetch(server.graphql, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'text/event-stream', authorization: `Bearer ${bearer}` },
    body: JSON.stringify({
      query: 'subscription ($id: ID!) { conversationUpdates(conversationId: $id) { __typename ... on Event { seq } ... on Message { text operatorName } } }',
      variables: { id },
    }),
  });
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of response.body) {
    text += decoder.decode(chunk, { stream: true });
    if (text.includes(`"seq":${last}`)) return text;
  }
  return assert.fail(`the stream ended with ${text}`);
}
