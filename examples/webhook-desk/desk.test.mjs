// node --test examples/webhook-desk/
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

import { createDesk, readOptions } from './desk.mjs'

const ID = '68e778000fa31d1ef64f5301'

// The request shapes of the contract, oldest first.
const SHAPES = {
  A: {
    conversation_id: '66a8f1200fa31d1ef64f52aa',
    timestamp: 1722348832000,
    email: 'support@gptbots.ai',
    bot_id: '66a1b0c23ce2b13cf2d57345',
    body: [{ message_type: 'QUESTION', text: 'human please' }, { message_type: 'ANSWER', text: '' }],
  },
  B: {
    conversation_id: '66a8f1200fa31d1ef64f52ab',
    timestamp: 1722348832001,
    email: 'support@gptbots.ai',
    bot_id: '66a1b0c23ce2b13cf2d57345',
    body: [{ message_type: 'QUESTION', text: 'human please' }],
    user_info: { phone: '+886912345678' },
  },
  C: {
    conversation_id: '66a8f1200fa31d1ef64f52ac',
    timestamp: 1722348832002,
    email: null,
    bot_id: '66a1b0c23ce2b13cf2d57345',
    body: [],
    user_info: { phone: null, email: 'mei.lin@example.com', user_id: null, anonymous_id: 'a1' },
  },
  D: {
    conversation_id: ID,
    timestamp: 1760000000000,
    email: 'mei.lin@example.com',
    bot_id: '66a1b0c23ce2b13cf2d57345',
    body: [
      { message_type: 'QUESTION', text: 'Do you ship to Penghu?' },
      { message_type: 'ANSWER', text: 'Yes, delivery to Penghu takes five to seven days.' },
      { message_type: 'QUESTION', text: 'My parcel is late, let me talk to a person.' },
      { message_type: 'ANSWER', text: '' },
    ],
    user_info: { phone: null, email: 'mei.lin@example.com', user_id: 'member-20417', anonymous_id: '68e777f05184b30540a6ea01' },
  },
  'D with more': {
    conversation_id: '66a8f1200fa31d1ef64f52ae',
    timestamp: '1760000018500',
    email: 'support@gptbots.ai',
    bot_id: '66a1b0c23ce2b13cf2d57345',
    conversation_type: 'LINE',
    body: [{ message_type: 'QUESTION', text: 'The box arrived like this', files: { content_type: 'image/jpeg', url: 'https://files.example.com/u/box.jpg' } }],
    user_info: { user_name: 'Mei', phone: null, email: null, user_id: null, anonymous_id: 'U1' },
    note: 'angry',
    something_new: { a: [1] },
  },
}

// fakeHandoff records the calls to it and answers as told.
async function fakeHandoff(t, answer = () => ({ status: 200, body: { code: 0, message: 'success', data: null } })) {
  const calls = []
  const waiting = []
  const server = createServer(async (request, response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const raw = Buffer.concat(chunks).toString()
    const call = { path: request.url, headers: request.headers, raw, body: JSON.parse(raw) }
    calls.push(call)
    const { status, body, cut } = answer(call, calls.length)
    if (cut) request.socket.destroy()
    else response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    for (const check of [...waiting]) check()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections?.()
    server.close()
  })
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    calls,
    // until waits for the nth call.
    until: (n) =>
      new Promise((resolve) => {
        const check = () => calls.length >= n && resolve(calls)
        waiting.push(check)
        check()
      }),
  }
}

async function startDesk(t, options = {}) {
  const lines = []
  const desk = createDesk({
    port: '0', script: 'none', control: true, delay: '0', retries: [1, 1], agentKey: 'key-1', print: (line) => lines.push(line), ...options,
  })
  const { url, origin } = await desk.start()
  t.after(() => desk.stop())
  const post = async (path, body, headers = {}) => {
    const raw = typeof body === 'string' ? body : JSON.stringify(body)
    const response = await fetch(url + path, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: raw })
    return { status: response.status, headers: response.headers, body: await response.json() }
  }
  const control = async (command) => {
    const response = await fetch(origin + '/control', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(command) })
    return { status: response.status, body: await response.json() }
  }
  return { desk, url, origin, post, control, lines }
}

const chat = (body, timestamp = 1760000005250) => ({ conversation_id: ID, timestamp, body })

test('accepts every shape of establish', async (t) => {
  const { post, desk } = await startDesk(t)
  for (const [name, shape] of Object.entries(SHAPES)) {
    const answer = await post('/conversation/establish', shape)
    assert.equal(answer.status, 200, name)
    assert.deepEqual(answer.body, { code: 200, message: 'success' }, name)
  }
  assert.equal(desk.sessions.size, 5)
  const session = desk.sessions.get(ID)
  assert.deepEqual(session.transcript.map(({ from, text }) => [from, text]), [
    ['user', 'Do you ship to Penghu?'],
    ['ai', 'Yes, delivery to Penghu takes five to seven days.'],
    ['user', 'My parcel is late, let me talk to a person.'],
  ])
  assert.equal(session.user, 'member-20417')
  assert.equal(desk.sessions.get(SHAPES['D with more'].conversation_id).note, 'angry')
})

test('refuses what is not in the contract', async (t) => {
  const { post, desk } = await startDesk(t)
  for (const body of ['', 'x', '[]', 'null', {}, { ...SHAPES.D, conversation_id: 7 }, { ...SHAPES.D, conversation_id: '' }, { ...SHAPES.D, timestamp: null },
    { ...SHAPES.D, timestamp: 'soon' }, { ...SHAPES.D, body: 'hi' }, { ...SHAPES.D, body: [null] }, { ...SHAPES.D, body: [{ message_type: 'X', text: '' }] },
    { ...SHAPES.D, body: [{ message_type: 'QUESTION' }] }]) {
    const answer = await post('/conversation/establish', body)
    assert.equal(answer.status, 400, JSON.stringify(body))
    assert.equal(answer.body.code, 40000)
  }
  assert.equal(desk.sessions.size, 0)
  assert.equal((await post('/chat', chat('hi'))).status, 404)
  await post('/conversation/establish', SHAPES.D)
  assert.equal((await post('/chat', chat(['hi']))).status, 400)
  assert.equal((await post('/conversation/close', { conversation_id: ID, timestamp: 1, type: 'X' })).status, 400)
  assert.equal((await post('/elsewhere', {})).status, 404)
  assert.equal((await post('/chat', 'x'.repeat(3 * 1024 * 1024))).status, 413)
})

test('the user writes and leaves', async (t) => {
  const { post, desk } = await startDesk(t)
  await post('/conversation/establish', SHAPES.D)
  assert.equal((await post('/chat', chat('Is the blue one in stock?'))).status, 200)
  assert.equal(desk.sessions.get(ID).transcript.at(-1).text, 'Is the blue one in stock?')
  for (const type of ['USER_CLOSED', 'USER_CLOSED', 'TIMEOUT']) {
    assert.equal((await post('/conversation/close', { conversation_id: ID, timestamp: 1, type })).status, 200)
  }
  assert.equal(desk.sessions.get(ID).state, 'ended')
  assert.equal(desk.sessions.get(ID).transcript.at(-1).text, 'the user left')
  assert.equal((await post('/chat', chat('hello?', 2))).status, 404)
  assert.equal((await post('/conversation/close', { conversation_id: 'unknown', timestamp: 1, type: 'TIMEOUT' })).status, 200)
})

test('drops repeats', async (t) => {
  const { post, desk } = await startDesk(t)
  for (let i = 0; i < 3; i++) assert.equal((await post('/conversation/establish', SHAPES.D)).status, 200)
  assert.equal(desk.sessions.size, 1)
  for (const [body, timestamp] of [['a', 1], ['a', 1], ['a', 2], ['b', 2], ['a', '2']]) {
    assert.equal((await post('/chat', chat(body, timestamp))).status, 200)
  }
  assert.deepEqual(desk.sessions.get(ID).transcript.slice(3).map((line) => line.text), ['a', 'a', 'b'])
  assert.deepEqual(desk.log.map((entry) => entry.repeat), [false, true, true, false, true, false, false, true])
})

test('wants Basic authentication when it is configured', async (t) => {
  const { post, url } = await startDesk(t, { basicUser: '客服', basicPassword: 'pä55' })
  for (const authorization of [undefined, 'Basic ZGVzay1icmlkZ2U6', 'Bearer 5a6i5pyNOnDDpDU1']) {
    const headers = authorization ? { authorization } : {}
    assert.equal((await post('/conversation/establish', SHAPES.D, headers)).status, 401)
    assert.equal((await fetch(url, { method: 'HEAD', headers })).status, 401)
  }
  const authorization = 'Basic 5a6i5pyNOnDDpDU1'
  assert.equal((await post('/conversation/establish', SHAPES.D, { authorization })).status, 200)
  assert.equal((await fetch(url, { method: 'HEAD', headers: { authorization } })).status, 200)
  assert.equal((await fetch(url + '/', { headers: { authorization } })).status, 200)
})

test('verifies Standard Webhooks', async (t) => {
  const key = Buffer.from('handoff-webhook-vector-key-000001')
  const secret = 'whsec_' + key.toString('base64')
  const handoff = await fakeHandoff(t)
  const { post, desk } = await startDesk(t, { signingSecret: secret, handoffUrl: handoff.url })
  const raw = JSON.stringify(SHAPES.D)
  const now = Math.floor(Date.now() / 1000)
  const signed = (id, timestamp, body = raw) => ({
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': 'v1,bm90IHRoaXMgb25l v1,' + createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64'),
  })
  for (const headers of [{}, signed('m', now - 301), signed('m', now + 302), signed('m', now, raw + ' '), { ...signed('m', now), 'webhook-id': 'n' },
    { ...signed('m', now), 'webhook-signature': 'v1,x' }]) {
    assert.equal((await post('/conversation/establish', raw, headers)).status, 401)
  }
  assert.equal(desk.sessions.size, 0)
  assert.equal((await post('/conversation/establish', raw, signed('m', now))).status, 200)
  const text = (n) => JSON.stringify(chat('same', n))
  assert.equal((await post('/chat', text(1), signed('m2', now, text(1)))).status, 200)
  assert.equal((await post('/chat', text(1), signed('m2', now, text(1)))).status, 200)
  assert.equal((await post('/chat', text(1), signed('m3', now, text(1)))).status, 200)
  assert.equal(desk.sessions.get(ID).transcript.length, 5, 'the delivery id tells repeats apart')

  await desk.reply(ID, 'hello')
  const { headers, raw: sent } = handoff.calls[0]
  const want = createHmac('sha256', key).update(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${sent}`).digest('base64')
  assert.equal(headers['webhook-signature'], 'v1,' + want)
})

test('the vector of the Standard Webhooks library', async (t) => {
  const { post } = await startDesk(t, { signingSecret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' })
  t.mock.method(Date, 'now', () => 1614265330_000)
  const answer = await post('/conversation/establish', '{"test": 2432232314}', {
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek', 'webhook-timestamp': '1614265330', 'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
  })
  assert.equal(answer.status, 400, 'the signature fits, the content does not')
})

test('a secret must have the right form', () => {
  for (const signingSecret of ['secret', 'whsec_', 'whsec_!!', 'whsec_c2hvcnQ=']) assert.throws(() => createDesk({ signingSecret }))
})

test('the operator answers and ends', async (t) => {
  const handoff = await fakeHandoff(t)
  const { post, desk } = await startDesk(t, { handoffUrl: handoff.url + '/' })
  await post('/conversation/establish', SHAPES.D)
  const answers = await Promise.all([desk.reply(ID, 'one'), desk.reply(ID, 'two'), desk.reply(ID, 'three'), desk.end(ID)])
  assert.deepEqual(answers.map((answer) => answer.status), [200, 200, 200, 200])
  assert.deepEqual(handoff.calls.map(({ path, body }) => [path, body.body]), [
    ['/v1/human/message/receive', 'one'], ['/v1/human/message/receive', 'two'], ['/v1/human/message/receive', 'three'], ['/v1/human/close', undefined],
  ])
  for (const { headers, body } of handoff.calls) {
    assert.equal(headers.authorization, 'Bearer key-1')
    assert.equal(headers['content-type'], 'application/json')
    assert.equal(body.conversation_id, ID)
    assert.equal(headers['webhook-id'], undefined)
  }
  const timestamps = handoff.calls.map(({ body }) => body.timestamp)
  assert.ok(timestamps.every((at, i) => Number.isInteger(at) && (i === 0 || at > timestamps[i - 1])), 'each message has a time of its own')
  assert.equal(desk.sessions.get(ID).state, 'ended')
})

test('repeats a call that may not have arrived, in order, with the same timestamp', async (t) => {
  const handoff = await fakeHandoff(t, (_, n) => [{ cut: true }, { status: 503, body: {} }][n - 1] ?? { status: 200, body: { code: 0 } })
  const { post, desk } = await startDesk(t, { handoffUrl: handoff.url })
  await post('/conversation/establish', SHAPES.D)
  await Promise.all([desk.reply(ID, 'one'), desk.reply(ID, 'two')])
  assert.deepEqual(handoff.calls.map(({ body }) => body.body), ['one', 'one', 'one', 'two'])
  assert.equal(new Set(handoff.calls.slice(0, 3).map(({ raw }) => raw)).size, 1)
})

test('gives up when Handoff refuses, or is away', async (t) => {
  const handoff = await fakeHandoff(t, () => ({ status: 409, body: { code: 40356 } }))
  const { post, desk, lines } = await startDesk(t, { handoffUrl: handoff.url })
  await post('/conversation/establish', SHAPES.D)
  assert.equal((await desk.reply(ID, 'one')).status, 409)
  assert.equal(handoff.calls.length, 1)
  assert.equal(desk.sessions.get(ID).state, 'ended')
  assert.ok(lines.some((line) => line.includes('refused')))

  const alone = await startDesk(t, { handoffUrl: 'http://127.0.0.1:1' })
  await alone.post('/conversation/establish', SHAPES.D)
  assert.equal((await alone.desk.reply(ID, 'one')).status, 0)
  assert.equal(alone.desk.sessions.get(ID).state, 'waiting')
})

test('the scripted operator plays a whole session', async (t) => {
  const handoff = await fakeHandoff(t)
  const { post, desk } = await startDesk(t, { handoffUrl: handoff.url, script: 'demo' })
  await post('/conversation/establish', SHAPES.D)
  await handoff.until(1)
  await post('/chat', chat('Is the blue one in stock?'))
  await handoff.until(2)
  await post('/chat', chat('Thanks, bye!', 2))
  await handoff.until(4)
  assert.deepEqual(handoff.calls.map(({ body }) => body.body), [
    'Hello, this is Jo. You asked: My parcel is late, let me talk to a person.', 'I see: Is the blue one in stock?', 'You are welcome. Goodbye!', undefined,
  ])
  assert.equal(handoff.calls[3].path, '/v1/human/close')
  assert.equal(handoff.calls[0].body.agent_name, 'Jo')
  await desk.sessions.get(ID).sending
  assert.equal(desk.sessions.get(ID).state, 'ended')
})

test('can be steered by tests', async (t) => {
  const handoff = await fakeHandoff(t)
  const { post, control, origin, desk } = await startDesk(t, { handoffUrl: handoff.url })
  await control({ establish: 'fail' })
  assert.deepEqual((await post('/conversation/establish', SHAPES.D)).body, { code: 50000, message: 'told to fail' })
  await control({ establish: { mode: 503, times: 1, retryAfter: 7 } })
  const refused = await post('/conversation/establish', SHAPES.D)
  assert.equal(refused.status, 503)
  assert.equal(refused.headers.get('retry-after'), '7')
  assert.equal(desk.sessions.size, 0)
  assert.equal((await post('/conversation/establish', SHAPES.D)).status, 200, 'only once')

  await control({ chat: { mode: 'cut', times: 1 } })
  await assert.rejects(post('/chat', chat('cut')))
  assert.equal((await post('/chat', chat('cut'))).status, 200)
  assert.equal(desk.sessions.get(ID).transcript.filter((line) => line.text === 'cut').length, 1, 'handled once')

  await control({ chat: 'slow', slowMs: 50 })
  const before = Date.now()
  await post('/chat', chat('slow'))
  assert.ok(Date.now() - before >= 49)

  const acted = await control({ chat: 'ok', reply: { conversation_id: ID, text: 'from a test' }, end: { conversation_id: ID } })
  assert.equal(acted.body.reply.status, 200)
  assert.equal(acted.body.end.status, 200)
  assert.deepEqual(handoff.calls.map(({ path }) => path), ['/v1/human/message/receive', '/v1/human/close'])
  assert.equal((await control({ reply: { conversation_id: 'unknown', text: 'x' } })).status, 404)

  const log = await (await fetch(origin + '/control/log')).json()
  assert.deepEqual(log.map((entry) => [entry.path.split('/').at(-1), entry.answered]), [
    ['establish', 200], ['establish', 503], ['establish', 200], ['chat', 'cut'], ['chat', 200], ['chat', 200],
  ])
  assert.equal(log[0].body, JSON.stringify(SHAPES.D))
  await control({ reset: true })
  assert.deepEqual(await (await fetch(origin + '/control/log')).json(), [])
  assert.equal(desk.sessions.size, 0)
})

test('without --control nothing can be steered', async (t) => {
  const { control, origin } = await startDesk(t, { control: false })
  assert.equal((await control({ establish: 'fail' })).status, 404)
  assert.equal((await fetch(origin + '/control/log')).status, 404)
})

test('the page lists sessions and answers', async (t) => {
  const handoff = await fakeHandoff(t)
  const { post, origin, desk } = await startDesk(t, { handoffUrl: handoff.url })
  await post('/conversation/establish', SHAPES.D)
  const page = await fetch(origin + '/')
  assert.match(page.headers.get('content-security-policy'), /default-src 'none'/)
  assert.doesNotMatch(await page.text(), /innerHTML/)
  const [session] = await (await fetch(origin + '/sessions')).json()
  assert.equal(session.id, ID)
  assert.equal(session.transcript.length, 3)
  const json = { method: 'POST', headers: { 'content-type': 'application/json' } }
  assert.equal((await fetch(origin + '/reply', { ...json, body: JSON.stringify({ conversation_id: ID, text: 'hi' }) })).status, 200)
  assert.equal((await fetch(origin + '/end', { ...json, body: JSON.stringify({ conversation_id: ID }) })).status, 200)
  assert.equal(desk.sessions.get(ID).state, 'ended')
  const form = { method: 'POST', headers: { 'content-type': 'text/plain' }, body: JSON.stringify({ conversation_id: ID, text: 'hi' }) }
  assert.equal((await fetch(origin + '/reply', form)).status, 415, 'a form of another site cannot answer')
})

test('remembers only so much', async (t) => {
  const { post, desk } = await startDesk(t)
  const establish = (i) => post('/conversation/establish', { ...SHAPES.A, conversation_id: `c${i}` })
  await establish(0)
  for (let i = 1; i <= 1_000; i += 50) await Promise.all(Array.from({ length: 50 }, (_, n) => establish(i + n)))
  assert.equal(desk.sessions.size, 1_000)
  assert.ok(!desk.sessions.has('c0') && desk.sessions.has('c1000'))
})

test('the path prefix can be chosen', async (t) => {
  for (const [basePath, path] of [['', '/chat'], ['/', '/chat'], ['a/b/', '/a/b/chat'], ['/human/service', '/human/service/chat']]) {
    const { origin } = await startDesk(t, { basePath })
    const response = await fetch(origin + path, { method: 'POST', body: JSON.stringify(chat('hi')) })
    assert.equal((await response.json()).code, 40356, basePath)
  }
})

test('options come from flags, then the environment', () => {
  const options = readOptions(['--port', '0', '--control'], { PORT: '1', HANDOFF_AGENT_KEY: 'k' })
  assert.equal(options.port, '0')
  assert.equal(options.agentKey, 'k')
  assert.equal(options.control, true)
  assert.equal(options.basePath, '/human/service')
  assert.throws(() => readOptions(['--prot', '1'], {}))
})

test('runs as a process', async (t) => {
  const child = spawn(process.execPath, [fileURLToPath(new URL('desk.mjs', import.meta.url)), '--port', '0'], { stdio: ['ignore', 'pipe', 'inherit'] })
  t.after(() => child.kill('SIGKILL'))
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  const url = /^webhook desk listening on (http:\S+)$/.exec(line)[1]
  const request = httpRequest(url, { method: 'HEAD', agent: false })
  request.end()
  const [response] = await once(request, 'response')
  assert.equal(response.statusCode, 200)
  child.kill('SIGTERM')
  const [code] = await once(child, 'exit')
  assert.equal(code, 0)
})
