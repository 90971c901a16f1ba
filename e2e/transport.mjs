// Runs the audits, the protocol suite and the reference clients against the
// small server of graph/transport: the transports alone, with a schema that can
// be driven from here.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, finish } from './check.mjs';
import { follow, request, socketClient, streamClient } from './clients.mjs';
import { Child, scratchDirectory } from './handoff/process.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const binary = join(scratchDirectory('testserver-'), 'testserver');
const bearer = 'good-token';
const topic = (name) => ({ query: 'subscription ($topic: String!) { ticks(topic: $topic) { n text } }', variables: { topic: name } });

async function run(command, args, options) {
  const child = spawn(command, args, { stdio: 'inherit', ...options });
  const [code] = await once(child, 'exit');
  assert.equal(code, 0, `${command} ${args.join(' ')} exited with ${code}`);
}

async function startServer(addr = '127.0.0.1:0') {
  const child = new Child('testserver', binary, [], { env: { ...process.env, TESTSERVER_ADDR: addr, TESTSERVER_TOKEN: bearer } });
  const [url] = await child.line(/^http\S+/);
  return {
    url,
    pid: child.pid,
    async stop() {
      const { code } = await child.end('SIGTERM');
      assert.equal(code, 0, 'the server did not stop cleanly');
    },
    ended: () => child.ended(),
  };
}

const publish = (url, name, text) =>
  request('mutation ($topic: String!, $text: String!) { publish(topic: $topic, text: $text) }', { topic: name, text }, { url, bearer });
const finishTopic = (url, name, reason) =>
  request('mutation ($topic: String!, $reason: String) { finish(topic: $topic, reason: $reason) }', { topic: name, reason }, { url, bearer });

/** Publishes until somebody listens, so that no check has to guess when a subscription is live. */
async function publishHeard(url, name, text) {
  while ((await publish(url, name, text)).publish === 0) await new Promise((resolve) => setTimeout(resolve, 20));
}

async function finishHeard(url, name, reason) {
  while ((await finishTopic(url, name, reason)).finish === 0) await new Promise((resolve) => setTimeout(resolve, 20));
}

await run('go', ['build', '-o', binary, './graph/transport/internal/testserver'], { cwd: root });

let server = await startServer();
const environment = () => ({ ...process.env, HANDOFF_URL: server.url, HANDOFF_ADMIN_TOKEN: bearer });

await check('graphql-http audits', () => run(process.execPath, ['graphql-http-audit.mjs'], { env: environment(), cwd: join(root, 'e2e') }), { seconds: 60 });

for (const [name, make] of Object.entries({
  'graphql-ws': (options) => socketClient({ url: server.url.replace(/^http/, 'ws'), bearer, ...options }),
  'graphql-sse': (options) => streamClient({ url: server.url, bearer, ...options }),
})) {
  await check(`${name}: next and complete`, async () => {
    const client = make();
    const stream = client.iterate(topic(name));
    const first = stream.next();
    await publishHeard(server.url, name, 'ü\n1');
    assert.deepEqual((await first).value, { data: { ticks: { n: 1, text: 'ü\n1' } } });
    await finishHeard(server.url, name);
    assert.equal((await stream.next()).done, true);
    client.dispose();
  });

  await check(`${name}: query and mutation`, async () => {
    const client = make();
    for (const [query, data] of [['{ hello }', { hello: 'hello' }], ['mutation { publish(topic: "nobody", text: "") }', { publish: 0 }]]) {
      const results = [];
      for await (const result of client.iterate({ query })) results.push(result);
      assert.deepEqual(results, [{ data }]);
    }
    client.dispose();
  });

  await check(`${name}: a stream that fails`, async () => {
    const client = make();
    const next = client.iterate(topic(`${name} fails`)).next();
    const failure = next.then(({ value }) => value.errors, (thrown) => thrown); // may come before the next line is done
    await finishHeard(server.url, `${name} fails`, 'fell behind');
    const errors = await failure;
    assert.equal(errors[0].message, 'fell behind');
    client.dispose();
  });

  await check(`${name}: a validation error`, async () => {
    const client = make();
    const errors = await client.iterate({ query: '{ nothing }' }).next().then(({ value }) => value.errors, (thrown) => thrown);
    assert.equal(errors[0].extensions.code, 'GRAPHQL_VALIDATION_FAILED');
    client.dispose();
  });

  await check(`${name}: leaving ends the subscription`, async () => {
    const client = make();
    const stream = client.iterate(topic(`${name} left`));
    const first = stream.next();
    await publishHeard(server.url, `${name} left`, 'x');
    await first;
    await stream.return();
    while ((await publish(server.url, `${name} left`, 'x')).publish > 0);
    client.dispose();
  });

  await check(`${name}: goes on behind its cursor after a restart`, async () => {
    const client = make();
    // The test schema has no cursor, so the topic's name plays its part.
    const operation = { query: 'subscription ($after: String!) { ticks(topic: $after) { text } }', variables: { after: `${name} 0` } };
    const stream = follow(client, operation, { variable: 'after', of: (data) => `${name} ${data.ticks.text}` });
    const first = stream.next();
    await publishHeard(server.url, `${name} 0`, '1');
    assert.deepEqual((await first).value, { ticks: { text: '1' } });
    const second = stream.next();
    await server.stop();
    server = await startServer(new URL(server.url).host);
    await publishHeard(server.url, `${name} 1`, '2');
    assert.deepEqual((await second).value, { ticks: { text: '2' } });
    client.dispose();
  });
}

await check(
  'protocol',
  () =>
    run(process.execPath, ['protocol.mjs'], {
      env: { ...environment(), HANDOFF_PID: server.pid, HANDOFF_SUBSCRIPTION: JSON.stringify(topic('silent')) },
      cwd: join(root, 'e2e'),
    }),
  { seconds: 120 },
);
await check('the server stopped cleanly', async () => assert.deepEqual(await server.ended(), { code: 0, signal: null }));

finish();
