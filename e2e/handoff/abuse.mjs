// Requests that are made to hurt: each is refused at once, with a code, and the
// server goes on.
import assert from 'node:assert/strict';
import { socketClient } from '../clients.mjs';
import { newAgent, newConversation } from './api.mjs';

/** No refusal may take longer; a request that is worked on would take minutes. */
const patience = 3000;

const nested = (levels) => 'openHandoff { conversation { '.repeat(levels) + 'id' + ' } }'.repeat(levels);
const fragments = (count, last) =>
  Array.from({ length: count }, (_, n) => `fragment f${n} on Conversation { ${n + 1 < count ? `...f${n + 1} ...f${n + 1}` : last} }`).join(' ');
const many = (count, text) => Array.from({ length: count }, (_, n) => text.replaceAll('#', n)).join(' ');

const bombs = {
  'depth bomb': [`{ conversation(id: "x") { ${nested(40)} } }`, 'DEPTH_LIMIT_EXCEEDED'],
  'alias bomb': [`{ ${many(100, 'a#: agents(first: 100) { nodes { id } }')} }`, 'COMPLEXITY_LIMIT_EXCEEDED'],
  'alias bomb beyond the tokens': [`{ ${many(2000, 'a#: viewer { role }')} }`, 'GRAPHQL_PARSE_FAILED'],
  'page bomb': ['{ agents(first: 100) { nodes { conversations(first: 100) { nodes { id } } } } }', 'COMPLEXITY_LIMIT_EXCEEDED'],
  'fragment bomb': [`{ conversation(id: "x") { ...f0 } } ${fragments(40, 'id')}`, 'COMPLEXITY_LIMIT_EXCEEDED'],
  'fragment bomb in the depth': [
    `{ conversation(id: "x") { ...f20 } } fragment f0 on Conversation { id } ${Array.from(
      { length: 20 },
      (_, n) => `fragment f${n + 1} on Conversation { openHandoff { conversation { ...f${n} } } }`,
    ).join(' ')}`,
    'DEPTH_LIMIT_EXCEEDED',
  ],
  'fragments in a circle': ['{ viewer { ...a } } fragment a on Viewer { ...b } fragment b on Viewer { ...a }', 'GRAPHQL_VALIDATION_FAILED'],
  'introspection bomb': [
    `{ __schema { types ${'{ fields { type { fields { type '.repeat(5)} { name } ${'} } } }'.repeat(5)} } }`,
    'GRAPHQL_VALIDATION_FAILED',
  ],
  'introspection by aliases': [`{ ${many(100, 'a#: __schema { types { fields { name } } }')} }`, 'COMPLEXITY_LIMIT_EXCEEDED'],
  'directive bomb': [`{ __typename ${'@a '.repeat(600)} }`, 'GRAPHQL_VALIDATION_FAILED'],
};

export async function abuse(check, server) {
  const agent = await newAgent(server, 'Abuse');
  const { user } = await newConversation(agent);
  const { pid } = server;

  for (const [name, [query, code]] of Object.entries(bombs)) {
    await check(`${name}: ${code}`, async () => {
      for (const bearer of ['', user.bearer]) {
        const { status, errors } = await post(server, JSON.stringify({ query }), bearer);
        assert.deepEqual([status, errors[0].extensions.code], [400, code], JSON.stringify(errors).slice(0, 500));
        assert(JSON.stringify(errors).length < 20_000);
      }
    });
  }

  await check('the same over a websocket, which stays open', async () => {
    const client = socketClient({ url: server.socket, bearer: user.bearer, retryAttempts: 0 });
    for (const [query, code] of Object.values(bombs)) {
      const errors = await client.iterate({ query }).next().then(({ value }) => value.errors, (thrown) => thrown);
      assert.equal(errors[0]?.extensions?.code, code, JSON.stringify(errors).slice(0, 500));
    }
    const { value } = await client.iterate({ query: '{ viewer { role } }' }).next();
    assert.deepEqual(value, { data: { viewer: { role: 'USER' } } });
    client.dispose();
  });

  for (const [name, body, status, code] of [
    ['a body of 2 MB', JSON.stringify({ query: `{ __typename } # ${'x'.repeat(2 << 20)}` }), 413, 'LIMIT_REACHED'],
    ['2 MB of variables', JSON.stringify({ query: '{ __typename }', variables: { x: 'x'.repeat(2 << 20) } }), 413, 'LIMIT_REACHED'],
    ['a batch', JSON.stringify(Array(1000).fill({ query: '{ __typename }' })), 400, 'INVALID_INPUT'],
    ['deeply nested JSON', `{"query":"{__typename}","variables":{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`, 400, 'INVALID_INPUT'],
    ['no JSON', '{"query":', 400, 'INVALID_INPUT'],
    ['unknown persisted query', '{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"00"}}}', 400, 'PERSISTED_QUERY_NOT_FOUND'],
  ]) {
    await check(`${name}: ${code}`, async () => {
      const answer = await post(server, body, '');
      assert.deepEqual([answer.status, answer.errors[0].extensions.code], [status, code]);
    });
  }

  await check('the server lives, and answers as before', async () => {
    assert.equal(server.pid, pid);
    assert.equal(server.process.process.exitCode, null);
    assert.deepEqual(await agent.query('{ viewer { role agentId } }'), { viewer: { role: 'AGENT', agentId: agent.id } });
    const ready = await fetch(`${server.url}/readyz`);
    assert.equal(ready.status, 200);
  });
}

async function post(server, body, bearer) {
  const response = await fetch(server.graphql, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json',
      ...(bearer && { authorization: `Bearer ${bearer}` }),
    },
    body,
    signal: AbortSignal.timeout(patience),
  });
  return { status: response.status, ...(await response.json()) };
}
