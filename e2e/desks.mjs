// Plays whole handoffs between the real server and the simulators of its desks, each a
// process of its own. Prints a line per check.
//
//   node desks.mjs [sqlite] [postgres]      default: sqlite
//
// Postgres is the server that HANDOFF_TEST_POSTGRES_URL names, or a throw-away one.
import { check, finish } from './check.mjs';
import { intercomMessenger } from './desks/intercom-messenger.mjs';
import { intercom } from './desks/intercom.mjs';
import { livechatMessenger } from './desks/livechat-messenger.mjs';
import { livechat } from './desks/livechat.mjs';
import { Simulator } from './desks/simulator.mjs';
import * as databases from './handoff/database.mjs';
import { build, Server } from './handoff/server.mjs';

/** Each with a server and a simulator of its own: [the desk, what is played, its name]. */
const plays = [
  ['intercom', intercom, 'Intercom'],
  ['intercom', intercomMessenger, "Intercom's messenger"],
  ['livechat', livechat, 'LiveChat'],
  ['livechat', livechatMessenger, "LiveChat's messenger"],
];

const chosen = process.argv.length > 2 ? process.argv.slice(2) : ['sqlite'];
for (const name of chosen) {
  if (!Object.hasOwn(databases, name)) throw new Error(`unknown database ${name}; known: ${Object.keys(databases).join(', ')}`);
}
const binary = await build();

for (const name of chosen) {
  const database = await databases[name]();
  for (const [desk, play, title] of plays) {
    const simulator = await Simulator.start(binary, desk);
    const server = await Server.start(binary, database, {
      HANDOFF_DESK_HOSTS: `${desk}=${simulator.url}`,
      HANDOFF_ALLOWED_PRIVATE_NETWORKS: '', // the simulator needs none
    });
    const named = (what, ...rest) => check(`${database.name}: ${title}: ${what}`, ...rest);
    await play(named, server, simulator);
    await simulator.stop();
  }
}
finish();
