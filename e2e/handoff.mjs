// Builds the server and uses it as its callers do: with the reference clients of
// the protocols, with the example webhook desk as a process of its own, and by
// what the documentation says. Prints a line per check.
//
//   node handoff.mjs [sqlite] [postgres]      default: sqlite
//
// Postgres is the server that HANDOFF_TEST_POSTGRES_URL names, or a throw-away one.
import { check, finish } from './check.mjs';
import { abuse } from './handoff/abuse.mjs';
import { builtInDesk } from './handoff/built-in-desk.mjs';
import { crashes } from './handoff/crashes.mjs';
import * as databases from './handoff/database.mjs';
import { logs } from './handoff/logs.mjs';
import { build, Server } from './handoff/server.mjs';
import { surface } from './handoff/surface.mjs';
import { transports } from './handoff/transports.mjs';
import { webhookDesk } from './handoff/webhook-desk.mjs';

/** In this order: the later ones look at what the earlier ones have left behind. */
const sections = [transports, webhookDesk, builtInDesk, surface, abuse, logs];

const chosen = process.argv.length > 2 ? process.argv.slice(2) : ['sqlite'];
for (const name of chosen) {
  if (!Object.hasOwn(databases, name)) throw new Error(`unknown database ${name}; known: ${Object.keys(databases).join(', ')}`);
}
const binary = await build();

const runs = [];
for (const name of chosen) {
  const database = await databases[name]();
  const named = (what, ...rest) => check(`${database.name}: ${what}`, ...rest);
  // What a killed server leaves behind takes half a minute to be picked up on Postgres; with a
  // server of its own that goes on beside the rest.
  runs.push({ database, named, crashing: crashes(named, await Server.start(binary, database)) });
}
for (const { database, named } of runs) {
  const server = await Server.start(binary, database);
  for (const section of sections) await section(named, server);
}
await Promise.all(runs.map(({ crashing }) => crashing));
finish();
