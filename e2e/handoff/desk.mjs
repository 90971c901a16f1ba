// The example webhook desk as a process of its own, with its operator in our hands.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { eventually } from './eventually.mjs';
import { Child } from './process.mjs';
import { root } from './server.mjs';

export const basicUser = 'handoff';
export const basicPassword = 'a password: with a colon';
export const signingSecret = `whsec_${Buffer.from('thirty-two bytes, known to both.').toString('base64')}`;
export const operatorName = 'Jo';

/** The path prefix of the desk's endpoints, which the server must keep. */
const basePath = '/support/v2/human';

export class Desk {
  /** Starts a desk for the chats of an Agent, with Basic authentication and signatures. */
  static async start(agent) {
    const desk = new Desk();
    desk.process = new Child('the desk', process.execPath, [join(root, 'examples/webhook-desk/desk.mjs'), '--control'], {
      env: {
        PORT: '0',
        HANDOFF_URL: agent.server.url,
        HANDOFF_AGENT_KEY: agent.bearer,
        BASE_PATH: basePath,
        BASIC_USER: basicUser,
        BASIC_PASSWORD: basicPassword,
        SIGNING_SECRET: signingSecret,
        SCRIPT: 'none',
        OPERATOR_NAME: operatorName,
      },
    });
    [, desk.url] = await desk.process.line(/listening on (\S+)/);
    desk.origin = new URL(desk.url).origin;
    return desk;
  }

  /** What goes into the connection form. */
  get fields() {
    return Object.entries({ url: this.url, username: basicUser, password: basicPassword, signing_secret: signingSecret }).map(
      ([name, value]) => ({ name, value }),
    );
  }

  async get(path) {
    return (await fetch(this.origin + path)).json();
  }

  /** Everything that was sent to the desk, in order; `body` is parsed, `path` is below the base URL. */
  async log() {
    const entries = await this.get('/control/log');
    return entries.map((entry) => {
      assert(entry.path.startsWith(basePath), entry.path);
      return { ...entry, path: entry.path.slice(basePath.length), body: JSON.parse(entry.body) };
    });
  }

  /** The session with this id as the operator sees it; undefined = there is none. */
  async session(id) {
    return (await this.get('/sessions')).find((session) => session.id === id);
  }

  /** What the operator's page shows of a session, as lines of [from, text], once it is `enough`. */
  async transcript(id, enough, seconds) {
    let lines = [];
    const look = async () => {
      lines = ((await this.session(id))?.transcript ?? []).map(({ from, text }) => [from, text]);
      return enough(lines) && lines;
    };
    return eventually('such transcript at the desk', look, () => lines, seconds);
  }

  async control(command) {
    const response = await fetch(`${this.origin}/control`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(command),
    });
    return response.json();
  }

  /** The operator writes; gives { status, body } of Handoff's answer, its body parsed. */
  async reply(id, text) {
    return parsed((await this.control({ reply: { conversation_id: id, text } })).reply);
  }

  /** The operator ends the session. */
  async end(id) {
    return parsed((await this.control({ end: { conversation_id: id } })).end);
  }

  async stop() {
    assert.deepEqual(await this.process.end('SIGTERM'), { code: 0, signal: null });
  }
}

/** The answer of a call that arrived. */
export const success = { status: 200, body: { code: 0, message: 'success', data: null } };

function parsed({ status, body }) {
  try {
    return { status, body: JSON.parse(body) };
  } catch {
    return { status, body };
  }
}
