// The IDE page: GraphiQL against the endpoint that the page names in its
// data-endpoint attribute. What is typed into the headers editor goes
// with every request and, in lower case, into the websocket's connectionParams,
// so that {"Authorization": "Bearer …"} works for subscriptions too.
import { createElement } from 'react';
import { createRoot } from 'react-dom/client';
import { GraphiQL } from 'graphiql';
import { createClient } from 'graphql-ws';
import { getOperationAST } from 'graphql';
import 'graphiql/style.css';

const root = document.getElementById('graphiql');
const endpoint = new URL(root.dataset.endpoint, location.href);
const socketEndpoint = new URL(endpoint);
socketEndpoint.protocol = endpoint.protocol === 'https:' ? 'wss:' : 'ws:';

async function post(params, headers) {
  const response = await fetch(endpoint, {
    method: 'POST',
    headers: {
      accept: 'application/graphql-response+json, application/json;q=0.9',
      ...headers,
      'content-type': 'application/json',
    },
    body: JSON.stringify(params),
  });
  return response.json();
}

// One socket per subscription: its connectionParams are those of this moment.
async function* subscribe(params, headers) {
  const connectionParams = {};
  for (const [name, value] of Object.entries(headers)) connectionParams[name.toLowerCase()] = value;
  const client = createClient({ url: socketEndpoint.href, connectionParams, retryAttempts: 3 });
  try {
    yield* client.iterate(params);
  } catch (cause) {
    // graphql-ws throws a list of errors, or the CloseEvent of the socket.
    if (Array.isArray(cause)) throw new Error(cause.map((error) => error.message).join('\n'), { cause });
    if (cause && 'code' in cause) throw new Error(`the socket closed: ${cause.code} ${cause.reason}`, { cause });
    throw cause;
  } finally {
    await client.dispose();
  }
}

function fetcher(params, { headers = {}, documentAST } = {}) {
  const operation = documentAST && getOperationAST(documentAST, params.operationName);
  return operation?.operation === 'subscription' ? subscribe(params, headers) : post(params, headers);
}

createRoot(root).render(
  createElement(GraphiQL, {
    fetcher,
    defaultEditorToolsVisibility: 'headers',
    defaultHeaders: '{\n  "Authorization": "Bearer "\n}',
    // A token in the browser's storage would outlive its use.
    shouldPersistHeaders: false,
    defaultQuery: '# Ctrl-Enter runs the operation; the token goes into "Headers" below.\n{\n  __typename\n}\n',
  }),
);
