// Checks the websocket protocol graphql-transport-ws, frame by frame, against a
// running server:
//
//   HANDOFF_URL, HANDOFF_ADMIN_TOKEN  see clients.mjs
//   HANDOFF_SUBSCRIPTION              JSON of { query, variables }: a subscription that stays open in silence
//   HANDOFF_PID                       the server's process, sent SIGTERM by the last check
import assert from 'node:assert/strict';
import WebSocket from 'ws';
import { check, finish } from './check.mjs';
import { socketEndpoint, token } from './clients.mjs';

const subscription = JSON.parse(process.env.HANDOFF_SUBSCRIPTION ?? 'null');
const pid = Number(process.env.HANDOFF_PID);
assert(subscription, 'HANDOFF_SUBSCRIPTION must be set');
assert(pid, 'HANDOFF_PID must be set');

/** A socket whose frames and close can be awaited in order. */
class Socket {
  constructor(protocols = ['graphql-transport-ws'], options) {
    this.seen = [];
    this.waiting = [];
    this.ws = new WebSocket(socketEndpoint, protocols, options);
    this.ws.on('message', (data) => this.deliver({ frame: JSON.parse(data) }));
    this.ws.on('close', (code, reason) => this.deliver({ code, reason: String(reason) }));
    this.ws.on('error', (error) => this.deliver({ error }));
    this.opened = new Promise((resolve) => this.ws.once('open', resolve));
  }

  deliver(event) {
    const waiter = this.waiting.shift();
    waiter ? waiter(event) : this.seen.push(event);
  }

  event() {
    return this.seen.length ? Promise.resolve(this.seen.shift()) : new Promise((resolve) => this.waiting.push(resolve));
  }

  send(message) {
    this.ws.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message));
  }

  /** The next frame that is not a ping of the server's. */
  async frame() {
    for (;;) {
      const { frame, ...other } = await this.event();
      assert(frame, `expected a frame, got ${JSON.stringify(other)}`);
      if (frame.type !== 'ping') return frame;
    }
  }

  async expectClose(code, reason) {
    const event = await this.event();
    assert.equal(event.code, code, JSON.stringify(event));
    if (reason !== undefined) assert.equal(event.reason, reason);
  }

  static async open(...args) {
    const socket = new Socket(...args);
    await socket.opened;
    return socket;
  }

  static async acknowledged() {
    const socket = await Socket.open();
    socket.send(init());
    assert.deepEqual(await socket.frame(), { type: 'connection_ack' });
    return socket;
  }
}

const init = (bearer = token) => ({
  type: 'connection_init',
  ...(bearer && { payload: { authorization: `Bearer ${bearer}` } }),
});
const subscribe = (id, payload = subscription) => ({ id, type: 'subscribe', payload });
const typename = { query: '{ __typename }' };

for (const [name, message] of Object.entries({
  'not JSON': '{',
  'no object': '"ping"',
  'a list': '[{"type":"ping"}]',
  'no type': '{}',
  'an unknown type': '{"type":"start","id":"1","payload":{}}',
  'a message of the server': '{"type":"next","id":"1","payload":{}}',
  'subscribe without id': JSON.stringify({ type: 'subscribe', payload: typename }),
  'subscribe with an empty id': JSON.stringify({ type: 'subscribe', id: '', payload: typename }),
  'subscribe with a number for id': JSON.stringify({ type: 'subscribe', id: 1, payload: typename }),
  'subscribe without payload': '{"type":"subscribe","id":"1"}',
  'subscribe without query': '{"type":"subscribe","id":"1","payload":{}}',
  'subscribe with wrong variables': '{"type":"subscribe","id":"1","payload":{"query":"{__typename}","variables":[]}}',
  'complete without id': '{"type":"complete"}',
  'a binary message': Buffer.from('{"type":"ping"}'),
})) {
  await check(`4400 ${name}`, async () => {
    const socket = await Socket.acknowledged();
    socket.send(message);
    await socket.expectClose(4400, 'Invalid message received');
  });
}

await check('4401 subscribe before the acknowledgement', async () => {
  const socket = await Socket.open();
  socket.send(subscribe('1', typename));
  await socket.expectClose(4401, 'Unauthorized');
});

await check('4403 wrong token', async () => {
  const socket = await Socket.open();
  socket.send(init('certainly-not-a-token'));
  await socket.expectClose(4403, 'Forbidden');
});

for (const protocols of [['graphql-ws'], ['mqtt'], []]) {
  await check(`4406 offering ${protocols.join() || 'no subprotocol'}`, async () => {
    // ws itself fails a handshake whose answer names no subprotocol when it
    // offered some, so the frame is read off the wire.
    const code = await rawCloseCode(protocols);
    assert.equal(code, 4406);
  });
}

await check('4408 no connection_init', async () => {
  const socket = await Socket.open();
  const start = Date.now();
  await socket.expectClose(4408, 'Connection initialisation timeout');
  assert(Date.now() - start > 1000, 'too early');
});

await check('4409 an id that is in use', async () => {
  const socket = await Socket.acknowledged();
  socket.send(subscribe('twice'));
  socket.send(subscribe('twice'));
  await socket.expectClose(4409, 'Subscriber for twice already exists');
});

await check('4429 a second connection_init', async () => {
  const socket = await Socket.acknowledged();
  socket.send(init());
  await socket.expectClose(4429, 'Too many initialisation requests');
});

await check('4429 two connection_init at once', async () => {
  const socket = await Socket.open();
  socket.send(init());
  socket.send(init());
  assert.equal((await socket.frame()).type, 'connection_ack');
  await socket.expectClose(4429);
});

await check('1009 a message that is too big', async () => {
  const socket = await Socket.acknowledged();
  socket.send({ type: 'ping', payload: { filler: 'x'.repeat(1 << 20) } });
  await socket.expectClose(1009);
});

await check('1008 too many messages', async () => {
  const socket = await Socket.acknowledged();
  for (let n = 0; n < 2000; n++) socket.send('{"type":"pong"}');
  await socket.expectClose(1008, 'Too many messages');
});

await check('403 a foreign origin', async () => {
  const socket = new Socket(undefined, { origin: 'https://evil.example' });
  const { error } = await socket.event();
  assert.match(error.message, /403/);
});

await check('ping is answered with its payload, before and after the acknowledgement', async () => {
  const socket = await Socket.open();
  socket.send({ type: 'ping' });
  assert.deepEqual(await socket.frame(), { type: 'pong' });
  socket.send(init());
  assert.deepEqual(await socket.frame(), { type: 'connection_ack' });
  socket.send({ type: 'ping', payload: { a: ['ü'] } });
  assert.deepEqual(await socket.frame(), { type: 'pong', payload: { a: ['ü'] } });
  socket.send({ type: 'pong' });
  socket.ws.close(1000);
  await socket.expectClose(1000);
});

await check('a query: next, complete, and the id is free again', async () => {
  const socket = await Socket.acknowledged();
  for (let round = 0; round < 2; round++) {
    socket.send(subscribe('q', typename));
    assert.deepEqual(await socket.frame(), { id: 'q', type: 'next', payload: { data: { __typename: 'Query' } } });
    assert.deepEqual(await socket.frame(), { id: 'q', type: 'complete' });
  }
  socket.ws.close(1000);
});

for (const [name, query] of Object.entries({ 'a syntax error': '{', 'a validation error': '{ certainlyNotAField }' })) {
  await check(`${name}: error with a list, no complete`, async () => {
    const socket = await Socket.acknowledged();
    socket.send(subscribe('e', { query }));
    const { id, type, payload } = await socket.frame();
    assert.deepEqual({ id, type }, { id: 'e', type: 'error' });
    assert(Array.isArray(payload) && payload[0].message);
    socket.send({ type: 'ping' });
    assert.deepEqual(await socket.frame(), { type: 'pong' });
    socket.ws.close(1000);
  });
}

await check("the client's complete ends an operation in silence", async () => {
  const socket = await Socket.acknowledged();
  for (let round = 0; round < 3; round++) {
    socket.send(subscribe('s'));
    socket.send({ id: 's', type: 'complete' });
  }
  socket.send({ id: 'unknown', type: 'complete' });
  socket.send({ type: 'ping' });
  assert.deepEqual(await socket.frame(), { type: 'pong' });
  socket.ws.close(1000);
});

await check('too many operations: error LIMIT_REACHED, the connection lives', async () => {
  const socket = await Socket.acknowledged();
  for (let n = 0; n < 40; n++) socket.send(subscribe(`s${n}`));
  const { type, payload } = await socket.frame();
  assert.equal(type, 'error');
  assert.equal(payload[0].extensions.code, 'LIMIT_REACHED');
  socket.send({ id: 's0', type: 'complete' });
  socket.ws.close(1000);
});

await check('1012 on SIGTERM, with no complete before it', async () => {
  const sockets = await Promise.all(Array.from({ length: 20 }, () => Socket.acknowledged()));
  for (const socket of sockets) socket.send(subscribe('s'));
  for (const socket of sockets) {
    socket.send({ type: 'ping' });
    assert.deepEqual(await socket.frame(), { type: 'pong' });
  }
  process.kill(pid, 'SIGTERM');
  await Promise.all(sockets.map((socket) => socket.expectClose(1012, 'Service restart')));
});

finish();

/** Upgrades by hand and gives the code of the close frame that follows. */
async function rawCloseCode(protocols) {
  const { connect } = await import('node:net');
  const { hostname, port, pathname } = new URL(socketEndpoint);
  const lines = [
    `GET ${pathname} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${Buffer.alloc(16, 7).toString('base64')}`,
    ...(protocols.length ? [`Sec-WebSocket-Protocol: ${protocols.join(', ')}`] : []),
    '',
    '',
  ];
  const tcp = connect(Number(port), hostname);
  tcp.write(lines.join('\r\n'));
  const chunks = [];
  for await (const chunk of tcp) chunks.push(chunk);
  const answer = Buffer.concat(chunks);
  const frame = answer.subarray(answer.indexOf('\r\n\r\n') + 4);
  assert.match(answer.toString('latin1'), /^HTTP\/1\.1 101 /);
  assert.equal(frame[0], 0x88, 'not a close frame');
  return frame.readUInt16BE(2);
}
