#!/usr/bin/env node
// An example webhook desk: a server that takes chats over from an AI agent and
// lets a human answer. It speaks the public "human handoff" webhook contract (see
// README.md), needs nothing but Node.js 18 or newer, and is meant to be copied.
//
//   node desk.mjs --handoff-url http://127.0.0.1:8080 --agent-key <key>
//
// Reading order: options, the desk's memory, what Handoff tells us, what we tell
// Handoff, the operator (scripted or a person at the page "/"), HTTP.

import { createHash, createHmac, randomUUID, timingSafeEqual } from 'node:crypto'
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

// ---------------------------------------------------------------- options

const OPTIONS = {
  // name: [environment variable, default, what it is]
  port: ['PORT', '8090', 'port to listen on; 0 takes any free one'],
  host: ['HOST', '127.0.0.1', 'address to listen on'],
  'handoff-url': ['HANDOFF_URL', 'http://127.0.0.1:8080', 'where Handoff is'],
  'agent-key': ['HANDOFF_AGENT_KEY', '', 'key of the agent whose chats come here'],
  'base-path': ['BASE_PATH', '/human/service', 'path prefix of the three endpoints'],
  'basic-user': ['BASIC_USER', '', 'user name that Handoff must present'],
  'basic-password': ['BASIC_PASSWORD', '', 'password that Handoff must present'],
  'signing-secret': ['SIGNING_SECRET', '', 'whsec_…: verify and sign by Standard Webhooks'],
  script: ['SCRIPT', 'demo', 'demo: answer by itself; none: leave it to you'],
  delay: ['DELAY', '500', 'milliseconds that the scripted operator thinks'],
  'operator-name': ['OPERATOR_NAME', 'Jo', 'name of the operator'],
}

export function readOptions(args = process.argv.slice(2), env = process.env) {
  const flags = Object.fromEntries(Object.keys(OPTIONS).map((name) => [name, { type: 'string' }]))
  const { values } = parseArgs({
    args,
    options: { ...flags, control: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  })
  const options = { control: values.control ?? env.CONTROL === '1', help: values.help }
  for (const [name, [variable, fallback]] of Object.entries(OPTIONS)) {
    const key = name.replace(/-(.)/g, (_, letter) => letter.toUpperCase())
    options[key] = values[name] ?? env[variable] ?? fallback
  }
  return options
}

const MAX_BODY = 2 * 1024 * 1024 // bytes of one request
const MAX_SESSIONS = 1_000
const MAX_TRANSCRIPT = 1_000 // lines of one session
const MAX_SEEN = 10_000 // deliveries remembered to drop repeats
const MAX_LOG = 10_000 // requests kept for tests
const RETRIES = [1_000, 3_000] // waits between the tries of a call to Handoff, in ms
const CALL_TIMEOUT = 10_000
const SIGNATURE_TOLERANCE = 5 * 60 // seconds

// ---------------------------------------------------------------- the desk

export function createDesk(given = {}) {
  const options = { ...readOptions([], {}), ...given }
  const basePath = '/' + options.basePath.replace(/^\/+|\/+$/g, '')
  const below = basePath === '/' ? '' : basePath
  const keys = options.signingSecret.split(/\s+/).filter(Boolean).map(decodeSecret)
  const print = options.print ?? ((line) => console.log(line))
  const retries = options.retries ?? RETRIES

  const sessions = new Map() // conversation_id -> session, the oldest first
  const seen = new Set() // deliveries that were handled
  const log = [] // everything that Handoff sent, for tests
  const behaviour = { establish: 'ok', chat: 'ok', close: 'ok', slowMs: 1_000 } // see control()
  let script = options.script
  let stopped = false

  const say = (event, id, text = '') => {
    const short = text.length > 80 ? text.slice(0, 80) + '…' : text
    print(`${new Date().toISOString()} ${event} ${id}${text ? ' ' + JSON.stringify(short) : ''}`)
  }

  // -------------------------------------------------- what Handoff tells us

  const endpoints = {
    [below + '/conversation/establish']: { name: 'establish', handle: establish },
    [below + '/chat']: { name: 'chat', handle: chat },
    [below + '/conversation/close']: { name: 'close', handle: close },
  }

  // A handoff is requested. Accepting it says "we have it": the user then waits
  // for the operator's first message. Older senders leave out user_info, and the
  // dialogue may end without the last, empty answer.
  function establish(message) {
    const { conversation_id: id, body, email, user_info: user } = message
    if (!Array.isArray(body)) throw new Refusal(400, 40000, 'body must be an array')
    for (const turn of body) {
      if (!turn || !['QUESTION', 'ANSWER'].includes(turn.message_type) || typeof turn.text !== 'string') {
        throw new Refusal(400, 40000, 'body must hold objects with message_type and text')
      }
    }
    if (sessions.has(id)) return
    const session = {
      id,
      email: user?.email ?? email ?? null,
      user: user?.user_id ?? user?.anonymous_id ?? null,
      note: message.note ?? null,
      state: 'waiting', // then active, then ended
      greeted: false,
      transcript: [],
      lastTimestamp: 0,
      sending: Promise.resolve(), // our calls about this session, one after the other
      timers: new Set(),
    }
    for (const turn of body) {
      if (turn.text !== '') remember(session, turn.message_type === 'QUESTION' ? 'user' : 'ai', turn.text)
    }
    sessions.set(id, session)
    if (sessions.size > MAX_SESSIONS) forget(sessions.values().next().value)
    const request = body.filter((turn) => turn.message_type === 'QUESTION').at(-1)?.text ?? ''
    say('establish', id, request)
    operator(session, request)
  }

  // The user wrote. Files come as their addresses below the text.
  function chat(message) {
    const session = sessions.get(message.conversation_id)
    if (typeof message.body !== 'string') throw new Refusal(400, 40000, 'body must be a string')
    if (!session || session.state === 'ended') throw new Refusal(404, 40356, 'conversation does not exist')
    remember(session, 'user', message.body)
    say('chat', session.id, message.body)
    operator(session, message.body)
  }

  // The user ended the session, or a timeout did. Ending it twice is no error.
  function close(message) {
    if (!['TIMEOUT', 'USER_CLOSED'].includes(message.type)) throw new Refusal(400, 40000, 'unknown type')
    const session = sessions.get(message.conversation_id)
    say('close', message.conversation_id, message.type)
    if (session) finish(session, message.type === 'TIMEOUT' ? 'timed out' : 'the user left')
  }

  function remember(session, from, text) {
    session.transcript.push({ from, text, at: Date.now() })
    if (session.transcript.length > MAX_TRANSCRIPT) session.transcript.shift()
  }

  function finish(session, why) {
    for (const timer of session.timers) clearTimeout(timer)
    session.timers.clear()
    if (session.state === 'ended') return
    session.state = 'ended'
    remember(session, 'system', why)
  }

  function forget(session) {
    finish(session, 'forgotten')
    sessions.delete(session.id)
  }

  // What two deliveries of the same thing have in common: the delivery id of
  // Standard Webhooks, else the three values that the contract has.
  function deliveryKey(path, headers, message) {
    const id = keys.length > 0 && headers['webhook-id']
    const parts = id ? [id] : [message.conversation_id, String(message.timestamp), message.body ?? message.type]
    return createHash('sha256').update(JSON.stringify([path, ...parts])).digest('base64')
  }

  // -------------------------------------------------- what we tell Handoff

  // reply sends a message of the operator, end ends the session. Both give
  // Handoff's answer: { status, body }.
  const reply = (session, text) =>
    tell(session, '/v1/human/message/receive', { body: text, agent_name: options.operatorName }, () => {
      session.state = 'active'
      remember(session, 'operator', text)
      say('reply', session.id, text)
    })

  const end = (session) =>
    tell(session, '/v1/human/close', {}, () => {
      finish(session, 'the operator ended the session')
      say('end', session.id)
    })

  function tell(session, path, fields, done) {
    // One timestamp per message, also in its repeats: Handoff drops repeats by it.
    session.lastTimestamp = Math.max(Date.now(), session.lastTimestamp + 1)
    const body = JSON.stringify({ conversation_id: session.id, timestamp: session.lastTimestamp, ...fields })
    const result = session.sending.then(async () => {
      const answer = await post(path, body)
      if (answer.status === 200) done()
      else say('refused', session.id, `${path} ${answer.status} ${answer.body}`)
      if (answer.status === 404 || answer.status === 409) finish(session, 'Handoff no longer has this session')
      return answer
    })
    session.sending = result.catch(() => {})
    return result
  }

  async function post(path, body) {
    const id = 'msg_' + randomUUID()
    for (let attempt = 0; ; attempt++) {
      let answer
      try {
        const response = await fetch(options.handoffUrl.replace(/\/+$/, '') + path, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            authorization: `Bearer ${options.agentKey}`,
            ...sign(keys, id, body),
          },
          body,
          redirect: 'manual',
          signal: AbortSignal.timeout(CALL_TIMEOUT),
        })
        answer = { status: response.status, body: await response.text() }
      } catch (error) {
        answer = { status: 0, body: String(error.cause?.code ?? error.message) }
      }
      const final = answer.status !== 0 && answer.status !== 429 && answer.status < 500
      if (final || attempt === retries.length || stopped) return answer
      await new Promise((resolve) => setTimeout(resolve, retries[attempt]).unref())
    }
  }

  // -------------------------------------------------- the operator

  // The scripted operator greets, answers every message, and ends the session
  // when the user says thanks or goodbye. With script "none" a person answers.
  function operator(session, text) {
    if (script !== 'demo') return
    const name = options.operatorName
    const leaving = session.greeted && /\b(bye|goodbye|thanks|thank you)\b|謝謝|谢谢|ありがとう/i.test(text)
    let answer = `I see: ${text}`
    if (leaving) answer = 'You are welcome. Goodbye!'
    if (!session.greeted) answer = `Hello, this is ${name}. You asked: ${text || '(nothing yet)'}`
    session.greeted = true
    const timer = setTimeout(async () => {
      session.timers.delete(timer)
      await reply(session, answer)
      if (leaving) await end(session)
    }, Number(options.delay))
    session.timers.add(timer)
  }

  // -------------------------------------------------- HTTP

  const server = createServer((request, response) => {
    serve(request, response).catch((error) => {
      const refusal = error instanceof Refusal ? error : new Refusal(500, 50000, 'internal error')
      if (!(error instanceof Refusal)) say('error', request.url, error.stack)
      send(response, refusal.status, { code: refusal.code, message: refusal.message })
    })
  })

  async function serve(request, response) {
    const path = new URL(request.url, 'http://desk').pathname
    const endpoint = endpoints[path]
    if (request.method === 'POST' && endpoint) return receive(endpoint, path, request, response)
    if (['GET', 'HEAD'].includes(request.method) && path.replace(/\/$/, '') === below && below) {
      authenticate(request.headers)
      return send(response, 200, { code: 200, message: 'this is a webhook desk' })
    }
    const route = `${request.method === 'HEAD' ? 'GET' : request.method} ${path}`
    if (route === 'GET /') return sendPage(response)
    if (route === 'GET /sessions') return send(response, 200, listSessions())
    if (route === 'POST /reply') {
      const { conversation_id: id, text } = await readJSON(request)
      return send(response, 200, await reply(find(id), String(text ?? '')))
    }
    if (route === 'POST /end') return send(response, 200, await end(find((await readJSON(request)).conversation_id)))
    if (options.control && route === 'POST /control') return send(response, 200, await control(await readJSON(request)))
    if (options.control && route === 'GET /control/log') return send(response, 200, log)
    throw new Refusal(404, 404, 'not found')
  }

  // receive takes one request of Handoff: is it allowed, is it readable, is it a
  // repeat? Only what was handled is remembered, so a refused request may come again.
  async function receive(endpoint, path, request, response) {
    const raw = await readBody(request)
    const entry = { path, headers: visible(request.headers), body: raw.toString(), at: Date.now(), repeat: false }
    log.push(entry)
    if (log.length > MAX_LOG) log.shift()
    try {
      authenticate(request.headers)
      verify(keys, request.headers, raw)
      const message = parse(raw)
      const mode = nextMode(endpoint.name)
      if (mode.mode === 'slow') await new Promise((resolve) => setTimeout(resolve, behaviour.slowMs))
      if (mode.mode === 'fail') throw new Refusal(200, 50000, 'told to fail')
      if (typeof mode.mode === 'number') throw new Refusal(mode.mode, mode.mode, 'told to fail', mode.retryAfter)
      const key = deliveryKey(path, request.headers, message)
      entry.repeat = seen.has(key)
      if (entry.repeat) say('repeat', message.conversation_id, path)
      else {
        endpoint.handle(message)
        seen.add(key)
        if (seen.size > MAX_SEEN) seen.delete(seen.values().next().value)
      }
      if (mode.mode === 'cut') {
        entry.answered = 'cut'
        return request.socket.destroy()
      }
      entry.answered = 200
      send(response, 200, { code: 200, message: 'success' })
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      entry.answered = error.status
      say('refuse', path, error.message)
      if (error.retryAfter) response.setHeader('retry-after', String(error.retryAfter))
      send(response, error.status, { code: error.code, message: error.message })
    }
  }

  function authenticate(headers) {
    if (!options.basicUser && !options.basicPassword) return
    const want = 'Basic ' + Buffer.from(`${options.basicUser}:${options.basicPassword}`).toString('base64')
    if (!same(headers.authorization ?? '', want)) throw new Refusal(401, 40127, 'developer authentication failed')
  }

  function find(id) {
    const session = sessions.get(id)
    if (!session) throw new Refusal(404, 40356, 'conversation does not exist')
    return session
  }

  const listSessions = () =>
    [...sessions.values()].map(({ id, email, user, note, state, transcript }) => ({ id, email, user, note, state, transcript }))

  // -------------------------------------------------- control, for tests

  // POST /control steers the desk. How an endpoint answers: "ok", "fail" (HTTP 200
  // with a refusing code), "slow" (after slowMs), "cut" (handles it, then hangs
  // up), or an HTTP status; { mode, times, retryAfter } limits it to some requests.
  // { reply: { conversation_id, text } } and { end: { conversation_id } } act as the
  // operator and give Handoff's answer; { script } switches the script; { reset:
  // true } forgets everything.
  async function control(command) {
    if (command.reset) {
      for (const session of [...sessions.values()]) forget(session)
      seen.clear()
      log.length = 0
      Object.assign(behaviour, { establish: 'ok', chat: 'ok', close: 'ok', slowMs: 1_000 })
      script = options.script
    }
    for (const name of ['establish', 'chat', 'close', 'slowMs']) {
      if (name in command) behaviour[name] = command[name]
    }
    if ('script' in command) script = command.script
    const result = { behaviour, script }
    if (command.reply) result.reply = await reply(find(command.reply.conversation_id), command.reply.text)
    if (command.end) result.end = await end(find(command.end.conversation_id))
    return result
  }

  function nextMode(name) {
    const mode = behaviour[name]
    if (typeof mode !== 'object' || mode === null) return { mode }
    if (mode.times !== undefined && mode.times-- <= 0) {
      behaviour[name] = 'ok'
      return { mode: 'ok' }
    }
    return mode
  }

  // -------------------------------------------------- start and stop

  return {
    sessions,
    log,
    reply: (id, text) => reply(find(id), text),
    end: (id) => end(find(id)),
    control,
    async start() {
      await new Promise((resolve, reject) => {
        server.once('error', reject).listen(Number(options.port), options.host, resolve)
      })
      const { port } = server.address()
      const host = options.host.includes(':') ? `[${options.host}]` : options.host
      const origin = `http://${host}:${port}`
      print(`webhook desk listening on ${origin}${below}`)
      print(`operator's page on ${origin}/`)
      return { origin, url: origin + below }
    },
    async stop() {
      stopped = true
      for (const session of sessions.values()) finish(session, 'the desk stops')
      server.closeAllConnections?.()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

// ---------------------------------------------------------------- helpers

class Refusal extends Error {
  constructor(status, code, message, retryAfter) {
    super(message)
    Object.assign(this, { status, code, retryAfter })
  }
}

// parse reads what all three requests have.
function parse(raw) {
  let message
  try {
    message = JSON.parse(raw.toString())
  } catch {
    throw new Refusal(400, 40000, 'the request must be JSON')
  }
  if (typeof message?.conversation_id !== 'string' || message.conversation_id === '') {
    throw new Refusal(400, 40000, 'conversation_id must be a string')
  }
  if (!Number.isSafeInteger(Number(message.timestamp ?? NaN))) {
    throw new Refusal(400, 40000, 'timestamp must be Unix time in milliseconds')
  }
  return message
}

async function readBody(request) {
  const chunks = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > MAX_BODY) throw new Refusal(413, 40000, 'the request is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

// readJSON reads a request of the page or of a test. A page of another origin
// cannot send this content type without asking first, and nobody answers that.
async function readJSON(request) {
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? '')) {
    throw new Refusal(415, 40000, 'content-type must be application/json')
  }
  try {
    return JSON.parse((await readBody(request)).toString()) ?? {}
  } catch (error) {
    throw error instanceof Refusal ? error : new Refusal(400, 40000, 'the request must be JSON')
  }
}

function send(response, status, value) {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value))
}

// visible leaves credentials out of the log.
function visible(headers) {
  const { authorization, ...rest } = headers
  return { ...rest, ...(authorization && { authorization: authorization.split(' ')[0] + ' …' }) }
}

// same compares without telling by its time how much was right.
function same(a, b) {
  const hash = (text) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(a), hash(b))
}

// Standard Webhooks 1.0.0: HMAC-SHA256 over "id.timestamp.body".
function decodeSecret(text) {
  if (!/^whsec_[A-Za-z0-9+/]{32,}={0,2}$/.test(text)) throw new Error('a signing secret is whsec_ followed by base64')
  return Buffer.from(text.slice('whsec_'.length), 'base64')
}

function signature(key, id, timestamp, body) {
  return 'v1,' + createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')
}

function sign(keys, id, body) {
  if (keys.length === 0) return {}
  const timestamp = Math.floor(Date.now() / 1000)
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': keys.map((key) => signature(key, id, timestamp, body)).join(' '),
  }
}

function verify(keys, headers, body) {
  if (keys.length === 0) return
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': given } = headers
  const refuse = (why) => {
    throw new Refusal(401, 40127, why)
  }
  if (!id || !timestamp || !given) refuse('the signature headers are missing')
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= SIGNATURE_TOLERANCE)) refuse('the signature is too old or from the future')
  const fits = given.split(' ').some((one) => keys.some((key) => same(one, signature(key, id, timestamp, body))))
  if (!fits) refuse('no signature fits')
}

// ---------------------------------------------------------------- the operator's page

const PAGE_SCRIPT = `
const list = document.querySelector('#sessions')
const element = (tag, text, className) => Object.assign(document.createElement(tag), { textContent: text ?? '', className: className ?? '' })
const post = async (path, body) => {
  const response = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const answer = await response.json()
  if (answer.status !== 200) alert('Handoff answered ' + JSON.stringify(answer))
  await refresh()
}
const cards = new Map()
function card(session) {
  const box = element('section')
  const form = element('form')
  const input = Object.assign(element('input'), { placeholder: 'Your answer', required: true, autocomplete: 'off' })
  const end = Object.assign(element('button', 'End session'), { type: 'button' })
  form.append(input, element('button', 'Send'), end)
  form.onsubmit = (event) => {
    event.preventDefault()
    post('/reply', { conversation_id: session.id, text: input.value })
    input.value = ''
  }
  end.onclick = () => post('/end', { conversation_id: session.id })
  const parts = { box, form, title: element('h2'), about: element('p'), lines: element('div') }
  box.append(parts.title, parts.about, parts.lines, form)
  list.prepend(box)
  return parts
}
async function refresh() {
  const sessions = await (await fetch('/sessions')).json()
  document.querySelector('#none').hidden = sessions.length > 0
  for (const session of sessions) {
    if (!cards.has(session.id)) cards.set(session.id, card(session))
    const { title, about, lines, form } = cards.get(session.id)
    title.textContent = session.state + ': ' + session.id
    about.textContent = [session.email, session.user, session.note].filter(Boolean).join(' · ')
    lines.replaceChildren(...session.transcript.map((line) => element('p', line.from + ': ' + line.text, line.from)))
    form.hidden = session.state === 'ended'
  }
  for (const [id, { box }] of cards) if (!sessions.some((session) => session.id === id)) { box.remove(); cards.delete(id) }
}
refresh()
setInterval(refresh, 1000)
`

const PAGE_STYLE = `
body { font: 16px/1.5 system-ui; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
section { border: 1px solid #8884; border-radius: 8px; padding: 0 1rem 1rem; margin: 1rem 0 }
h2 { font-size: 1rem } p { margin: .2rem 0; white-space: pre-wrap }
.ai, .system { opacity: .6 } .operator { font-weight: 600 }
form { display: flex; gap: .5rem; margin-top: 1rem } form[hidden] { display: none } input { flex: 1 }
`

const PAGE = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Webhook desk</title><style>${PAGE_STYLE}</style>
<h1>Webhook desk</h1><p id="none">No session yet.</p><main id="sessions"></main><script>${PAGE_SCRIPT}</script></html>`

function sendPage(response) {
  const hash = (text) => `'sha256-${createHash('sha256').update(text).digest('base64')}'`
  response
    .writeHead(200, {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': `default-src 'none'; script-src ${hash(PAGE_SCRIPT)}; style-src ${hash(PAGE_STYLE)}; connect-src 'self'`,
    })
    .end(PAGE)
}

// ---------------------------------------------------------------- main

async function main() {
  const options = readOptions()
  if (options.help) {
    console.log('node desk.mjs [options]\n')
    for (const [name, [variable, fallback, what]] of Object.entries(OPTIONS)) {
      console.log(`  --${name.padEnd(16)} ${what} (${variable}${fallback ? `, default ${fallback}` : ''})`)
    }
    console.log(`  --${'control'.padEnd(16)} let tests steer the desk at /control (CONTROL=1)`)
    return
  }
  const desk = createDesk(options)
  await desk.start()
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.once(signal, () => desk.stop())
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(error.message)
    process.exitCode = 1
  })
}
