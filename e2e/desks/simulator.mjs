// The simulator of a desk as a process of its own, with its people in our hands.
import assert from 'node:assert/strict';
import { eventually } from '../handoff/eventually.mjs';
import { Child } from '../handoff/process.mjs';

export class Simulator {
  static async start(binary, desk) {
    const simulator = new Simulator();
    simulator.process = new Child(`the simulator of ${desk}`, binary, ['simulate', desk, '-addr', '127.0.0.1:0'], { env: {} });
    [, simulator.url] = await simulator.process.line(/is simulated at (http:\S+)\.$/);
    return simulator;
  }

  /** Everything that its page shows. */
  async state() {
    return (await fetch(`${this.url}/simulator/state`)).json();
  }

  /** The connection form as it is to be filled in. */
  async fields() {
    return (await this.state()).form.map(({ name, value }) => ({ name, value }));
  }

  /** The session with this id, or the newest. */
  async session(id) {
    return (await this.state()).sessions.findLast((session) => !id || session.id === id);
  }

  /** What was said in a session, as [side, text], without what the user does not see, once it is `enough`. */
  async said(id, enough, seconds) {
    let lines = [];
    const look = async () => {
      const { lines: all } = (await this.session(id)) ?? { lines: [] };
      lines = all.filter((line) => line.text && !line.private).map(({ side, text }) => [side, text]);
      return enough(lines) && lines;
    };
    return eventually('such session at the desk', look, () => lines, seconds);
  }

  /** Somebody at the desk does something. */
  do(command, session, more = {}) {
    return this.send('POST', 'do', { do: command, session, ...more });
  }

  /** How webhooks are sent from now on. */
  async webhooks(settings) {
    const { webhooks } = await this.state();
    await this.send('PUT', 'webhooks', { address: webhooks.address, retryMillis: 300, ...settings });
  }

  /** What goes wrong with the API from now on. */
  trouble(settings = {}) {
    return this.send('PUT', 'trouble', settings);
  }

  async send(method, path, body) {
    const response = await fetch(`${this.url}/simulator/${path}`, { method, body: JSON.stringify(body) });
    assert.equal(response.status, 200, await response.text());
  }

  async stop() {
    assert.deepEqual(await this.process.end('SIGTERM'), { code: 0, signal: null });
  }
}
