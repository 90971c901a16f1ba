// What surrounds the API: origins, headers, health, figures, and the IDE.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import WebSocket from 'ws';
import { allowedOrigin } from './server.mjs';

const foreignOrigin = 'https://evil.example';

/** The metrics that an operator's dashboards and alarms rely on. */
const metrics = [
  'handoff_build_info',
  'handoff_http_requests_total',
  'handoff_http_request_seconds_bucket',
  'handoff_graphql_errors_total',
  'handoff_requests_total',
  'handoff_closed_total',
  'handoff_open',
  'handoff_messages_total',
  'handoff_delivery_attempts_total',
  'handoff_delivery_seconds_bucket',
  'handoff_desk_call_seconds_bucket',
  'handoff_deadline_late_seconds_bucket',
  'handoff_relay_seconds_bucket',
  'handoff_stream_replays_total',
  'handoff_subscriptions',
  'handoff_websockets',
  'process_resident_memory_bytes',
  'go_goroutines',
];

export async function surface(check, server) {
  const ask = (path, options) => exchange(server.url + path, options);
  const typename = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"query":"{__typename}"}' };
  const preflight = (origin) =>
    ask('/graphql', {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization,content-type' },
    });

  await check('CORS: a page of an allowed origin may call the API', async () => {
    const { status, headers } = await preflight(allowedOrigin);
    assert(status === 200 || status === 204, String(status));
    assert.equal(headers['access-control-allow-origin'], allowedOrigin);
    assert.match(headers['access-control-allow-methods'], /POST/);
    assert.match(headers['access-control-allow-headers'], /authorization/i);
    assert.match(headers['access-control-allow-headers'], /content-type/i);
    assert.equal(headers['access-control-allow-credentials'], undefined);
    const answer = await ask('/graphql', { ...typename, headers: { ...typename.headers, origin: allowedOrigin } });
    assert.equal(answer.headers['access-control-allow-origin'], allowedOrigin);
    assert.match(answer.headers.vary, /Origin/i);
  });

  await check('CORS: a page of a foreign origin may not', async () => {
    for (const origin of [foreignOrigin, 'null', `${allowedOrigin}.evil.example`, allowedOrigin.replace('https', 'http')]) {
      assert.equal((await preflight(origin)).headers['access-control-allow-origin'], undefined, origin);
      const answer = await ask('/graphql', { ...typename, headers: { ...typename.headers, origin } });
      assert.equal(answer.headers['access-control-allow-origin'], undefined, origin);
    }
  });

  await check('websocket: only pages of an allowed origin, or of our own, get in', async () => {
    for (const origin of [allowedOrigin, server.url, undefined]) assert.equal(await upgrade(server, origin), 101, origin);
    for (const origin of [foreignOrigin, `${allowedOrigin}.evil.example`, 'null']) assert.equal(await upgrade(server, origin), 403, origin);
  });

  await check('security headers on every answer', async () => {
    const paths = ['/healthz', '/readyz', '/metrics', '/ide/', '/nothing'].map((path) => [path, {}]);
    for (const [path, options] of [['/graphql', typename], ['/v1/human/close', { method: 'POST' }], ...paths]) {
      const { headers } = await ask(path, options);
      assert.equal(headers['x-content-type-options'], 'nosniff', path);
      assert.equal(headers['x-frame-options'], 'DENY', path);
      assert.equal(headers['referrer-policy'], 'no-referrer', path);
      assert.match(headers['cache-control'], /no-store|no-cache/, path);
    }
  });

  await check('the request id is taken over, made, and told with errors', async () => {
    const id = 'e2e-Request.7_x';
    const bad = { ...typename, body: '{"query":"{ nothing }"}', headers: { ...typename.headers, 'x-request-id': id } };
    const { headers, json } = await ask('/graphql', bad);
    assert.equal(headers['x-request-id'], id);
    assert.equal(json().errors[0].extensions.requestId, id);
    for (const refused of [undefined, '', '<script>', 'x'.repeat(65), 'a b']) {
      const answer = await ask('/healthz', refused === undefined ? {} : { headers: { 'x-request-id': refused } });
      assert.match(answer.headers['x-request-id'], /^[0-9a-f]{24}$/, refused);
    }
  });

  await check('/healthz, /readyz', async () => {
    assert.deepEqual(pick(await ask('/healthz')), { status: 200, body: 'ok\n' });
    assert.deepEqual(pick(await ask('/readyz')), { status: 200, body: 'ready\n' });
    assert.equal((await ask('/healthz', { method: 'POST' })).status, 405);
    assert.equal((await ask('/nothing')).status, 404);
  });

  await check('/metrics has every figure, counted', async () => {
    const { status, headers, body } = await ask('/metrics');
    assert.equal(status, 200);
    assert.match(headers['content-type'], /^text\/plain/);
    for (const name of metrics) assert.match(body, new RegExp(`^${name}[ {]`, 'm'));
    for (const counted of [
      'handoff_closed_total{desk="webhook",reason="OPERATOR_ENDED"} ',
      'handoff_closed_total{desk="webhook",reason="WAIT_TIMEOUT"} ',
      'handoff_requests_total{desk="builtin",outcome="CONNECTING"} ',
      'handoff_messages_total{author="OPERATOR"} ',
      'handoff_delivery_attempts_total{desk="webhook",kind="OPEN",result="ok"} ',
    ]) {
      const line = body.split('\n').find((text) => text.startsWith(counted));
      assert(Number(line?.slice(counted.length)) > 0, `${counted}: ${line}`);
    }
    assert.match(body, /^handoff_open\{state="ACTIVE"\} 0$/m);
  });

  await check('the IDE page works without a network', async () => {
    const browser = { headers: { accept: 'text/html,application/xhtml+xml' } };
    const start = await ask('/graphql', browser);
    assert.equal(start.status, 302);
    const home = new URL(start.headers.location, server.graphql);
    assert.equal(home.href, `${server.url}/ide/`);
    const page = await ask(home.pathname, browser);
    assert.equal(page.status, 200);
    assert.match(page.headers['content-type'], /^text\/html/);
    assert.doesNotMatch(page.body, /https?:|["'(]\/\//);
    const links = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link).filter((link) => !link.startsWith('data:'));
    assert(links.length >= 2, page.body);
    for (const link of links) {
      const asset = await exchange(new URL(link, home).href);
      assert.equal(asset.status, 200, link);
      assert(asset.body.length > 0, link);
      if (link.endsWith('.css')) assert.doesNotMatch(asset.body, /url\(["']?(https?:)?\/\/|@import/);
      if (link.endsWith('.js')) assert.doesNotMatch(asset.body, /import\(["'`]https?:|from ?["']https?:/);
    }
    const policy = page.headers['content-security-policy'];
    assert.match(policy, /(^|; )default-src 'none'(;|$)/);
    assert.match(policy, /(^|; )script-src 'self'(;|$)/);
    assert.match(policy, /(^|; )connect-src 'self'(;|$)/);
    assert.match(policy, /(^|; )frame-ancestors 'none'(;|$)/);
    assert.doesNotMatch(policy, /https?:|\*/);
  });
}

/** One HTTP exchange, with no header that we did not ask for and no redirect followed. */
async function exchange(url, { method = 'GET', headers = {}, body } = {}) {
  const call = request(url, { method, headers });
  call.end(body);
  const [response] = await once(call, 'response');
  const chunks = [];
  for await (const chunk of response) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  return { status: response.statusCode, headers: response.headers, body: text, json: () => JSON.parse(text) };
}

const pick = ({ status, body }) => ({ status, body });

/** The status that a websocket handshake is answered with. */
function upgrade(server, origin) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(server.socket, 'graphql-transport-ws', { origin });
    socket.on('open', () => (socket.close(), resolve(101)));
    socket.on('unexpected-response', (call, response) => (call.destroy(), resolve(response.statusCode)));
    socket.on('error', reject);
  });
}
