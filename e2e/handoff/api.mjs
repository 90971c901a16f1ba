// The API as its three kinds of callers use it.
import assert from 'node:assert/strict';
import { request } from '../clients.mjs';
import { adminToken } from './server.mjs';

/** Every credential that was used. */
export const bearers = new Set();

/** Somebody with a credential. */
export class Caller {
  constructor(server, bearer) {
    this.server = server;
    this.bearer = bearer;
    bearers.add(bearer);
  }

  query(query, variables) {
    return request(query, variables, { url: this.server.graphql, bearer: this.bearer });
  }

  /** Calls one mutation, whose input type is named after it, and gives its payload. */
  async mutate(name, input, selection) {
    const type = `${name[0].toUpperCase()}${name.slice(1)}Input!`;
    const data = await this.query(`mutation ($input: ${type}) { ${name}(input: $input) { ${selection} } }`, { input });
    return data[name];
  }
}

export const administrator = (server) => new Caller(server, adminToken);

/** Makes an Agent with a key and gives the caller that has it; its `id` is the Agent's. */
export async function newAgent(server, name) {
  const admin = administrator(server);
  const { agent } = await admin.mutate('createAgent', { name }, 'agent { id }');
  const { key } = await admin.mutate('createAgentKey', { agentId: agent.id, name: 'runtime' }, 'key');
  return Object.assign(new Caller(server, key), { id: agent.id });
}

/** Begins a conversation and gives its id and its user, who calls with a token of their own. */
export async function newConversation(agent, input = {}) {
  const { conversation } = await agent.mutate(
    'startConversation',
    { channel: 'WIDGET', language: 'en', ...input },
    'conversation { id control epoch lastSeq }',
  );
  assert.deepEqual({ ...conversation, id: '' }, { id: '', control: 'AGENT', epoch: 1, lastSeq: 0 });
  const { token } = await agent.mutate('createUserToken', { conversationId: conversation.id }, 'token');
  return { id: conversation.id, user: new Caller(agent.server, token) };
}

/** The extensions of the error that a call fails with. */
export async function refusal(call) {
  try {
    await call;
  } catch (error) {
    if (!error.errors) throw error;
    return error.errors[0].extensions;
  }
  return assert.fail('it was not refused');
}

/** Everything that a User or an Agent can see of an event. */
export const eventFields = `
  __typename
  ... on Message { id seq at handoffId author text attachments { url name contentType sizeBytes } notice statusCode operatorName }
  ... on HandoffChanged { id seq at handoffId state reason operatorName statusCode }
  ... on ControlChanged { id seq at handoffId control epoch }
  ... on DeliveryFailed { id seq at handoffId messageSeq }`;

/** The whole log of a conversation, page by page. */
export async function readLog(caller, conversationId) {
  const events = [];
  for (let after = 0; ; ) {
    const { conversation } = await caller.query(
      `query ($id: ID!, $after: Int64!) { conversation(id: $id) { events(after: $after, first: 20) { nodes { ${eventFields} } endSeq hasNextPage } } }`,
      { id: conversationId, after },
    );
    events.push(...conversation.events.nodes);
    if (!conversation.events.hasNextPage) return events;
    after = conversation.events.endSeq;
  }
}
