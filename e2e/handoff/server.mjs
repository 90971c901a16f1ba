// The real binary, configured as somebody would who tries it out on one machine.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Child, run, scratchDirectory } from './process.mjs';

export const root = fileURLToPath(new URL('../..', import.meta.url));
export const adminToken = 'the-administrator-of-this-suite';
export const allowedOrigin = 'https://console.example.com';

/** How many subscriptions one websocket may have, so that the protocol suite can exceed it. */
const maxSubscriptions = 32;

/** Builds the binary and gives its path. */
export async function build() {
  const binary = join(scratchDirectory('handoff-binary-'), 'handoff');
  await run('go', ['build', '-o', binary, '.'], { cwd: root });
  return binary;
}

/** A server that keeps its data and its port when it is started again. */
export class Server {
  /**
   * @param database { name, environment } of database.mjs
   * @param settings more of the environment
   */
  static async start(binary, database, settings = {}) {
    const server = new Server();
    server.binary = binary;
    server.environment = {
      PATH: process.env.PATH,
      HANDOFF_ADDR: '127.0.0.1:0',
      HANDOFF_DATA_DIR: scratchDirectory('handoff-data-'),
      HANDOFF_ADMIN_TOKEN: adminToken,
      HANDOFF_ALLOWED_PRIVATE_NETWORKS: 'loopback',
      HANDOFF_ALLOWED_ORIGINS: allowedOrigin,
      HANDOFF_MAX_SUBSCRIPTIONS: String(maxSubscriptions),
      HANDOFF_LOG_LEVEL: 'debug',
      ...(await database.environment()),
      ...settings,
    };
    server.log = []; // every line of the processes that have stopped
    await server.start();
    server.environment.HANDOFF_ADDR = new URL(server.url).host;
    return server;
  }

  async start() {
    this.process = new Child(`handoff on ${this.environment.HANDOFF_ADDR}`, this.binary, [], { env: this.environment });
    const [, url] = await this.process.line(/GraphQL +(http:\S+)\/graphql/);
    this.url = url;
  }

  get graphql() {
    return `${this.url}/graphql`;
  }

  get socket() {
    return this.graphql.replace(/^http/, 'ws');
  }

  get pid() {
    return this.process.pid;
  }

  /** Waits for a process that was told to stop: it must end in good order. */
  async stopped() {
    const end = await this.process.ended();
    this.log.push(...this.process.output);
    assert.deepEqual(end, { code: 0, signal: null });
  }

  async stop() {
    this.process.process.kill('SIGTERM');
    await this.stopped();
  }

  /** Ends the process without giving it a chance to do anything, and starts it again. */
  async crash() {
    await this.process.end('SIGKILL');
    await this.start();
  }
}
