// The reference clients of the protocols, set up for a Handoff server:
//
//   HANDOFF_URL          the GraphQL endpoint, http://127.0.0.1:8080/graphql
//   HANDOFF_ADMIN_TOKEN  the bearer token; optional where the server is open
import { createClient as createSocketClient } from 'graphql-ws';
import { createClient as createStreamClient } from 'graphql-sse';
import WebSocket from 'ws';

export const endpoint = process.env.HANDOFF_URL ?? 'http://127.0.0.1:8080/graphql';
export const socketEndpoint = endpoint.replace(/^http/, 'ws');
export const token = process.env.HANDOFF_ADMIN_TOKEN ?? '';

/** Sends one query or mutation and gives its data; throws an Error with the GraphQL errors in `errors`. */
export async function request(query, variables, { url = endpoint, bearer = token } = {}) {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/graphql-response+json',
      ...(bearer && { authorization: `Bearer ${bearer}` }),
    },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw Object.assign(new Error(errors.map((error) => error.message).join('; ')), { errors });
  return data;
}

/** A graphql-ws client. `options` go to createClient; retries come at once unless they say otherwise. */
export function socketClient({ url = socketEndpoint, bearer = token, ...options } = {}) {
  return createSocketClient({
    url,
    webSocketImpl: WebSocket,
    connectionParams: bearer ? { authorization: `Bearer ${bearer}` } : undefined,
    retryAttempts: 100,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 100)),
    // By default graphql-ws gives up when nobody listens at all, as while a server starts again.
    shouldRetry: () => true,
    ...options,
  });
}

/** A graphql-sse client in distinct connections mode. */
export function streamClient({ url = endpoint, bearer = token, ...options } = {}) {
  return createStreamClient({
    url,
    headers: bearer ? { authorization: `Bearer ${bearer}` } : undefined,
    retry: () => new Promise((resolve) => setTimeout(resolve, 100)),
    retryAttempts: 100,
    ...options,
  });
}

/**
 * Yields the data of a subscription, and after every reconnect goes on behind the last one seen. Both clients
 * send the variables anew with each attempt, so a getter keeps the cursor current.
 *
 * @param client    of socketClient or streamClient
 * @param operation { query, variables }
 * @param cursor    { variable: 'after', of: (data) => cursor of this event, or undefined }
 */
export async function* follow(client, { query, variables }, cursor) {
  const current = { ...variables };
  const live = Object.defineProperty({ ...variables }, cursor.variable, {
    enumerable: true,
    get: () => current[cursor.variable],
  });
  for await (const { data, errors } of client.iterate({ query, variables: live })) {
    if (errors) throw Object.assign(new Error(errors.map((error) => error.message).join('; ')), { errors });
    current[cursor.variable] = cursor.of(data) ?? current[cursor.variable];
    yield data;
  }
}
