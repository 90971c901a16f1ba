// The databases that the server is tried on: SQLite, and a throw-away Postgres.
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, readdirSync, realpathSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { atExit, Child, run, scratchDirectory } from './process.mjs';

/** SQLite needs nothing: each server has a file of its own in its data directory. */
export async function sqlite() {
  return { name: 'SQLite', environment: async () => ({}) };
}

/**
 * The Postgres that HANDOFF_TEST_POSTGRES_URL names, or one of our own from the programs of this machine.
 * Each server gets a new database on it.
 */
export async function postgres() {
  const server = process.env.HANDOFF_TEST_POSTGRES_URL || (await startPostgres());
  return {
    name: 'Postgres',
    async environment() {
      const database = `handoff_e2e_${randomUUID().replaceAll('-', '')}`;
      const client = (program, ...args) => [find(program), [...args, `--maintenance-db=${server}`, database]];
      await run(...client('createdb')).catch(({ stderr }) => {
        throw new Error(stderr); // without the command, which holds the URL with its password
      });
      atExit(() => execFileSync(...client('dropdb', '--force', '--if-exists'), { stdio: 'ignore' }));
      // Not by URL, which knows no empty host.
      return { DATABASE_URL: server.replace(/^(\w+:\/\/[^/?]*)(\/[^?]*)?/, `$1/${database}`) };
    },
  };
}

/** Starts a server that listens on a Unix socket in a directory of its own, and gives its URL. */
async function startPostgres() {
  const directory = scratchDirectory('handoff-pg-');
  const user = unprivileged();
  if (user) chownSync(directory, user.uid, user.gid);
  const options = { cwd: directory, env: { PATH: process.env.PATH, HOME: directory, LC_ALL: 'C' }, ...user };
  const data = join(directory, 'data');
  await run(
    find('initdb'),
    ['--pgdata', data, '--username=handoff', '--auth=trust', '--encoding=UTF8', '--locale=C', '--no-sync', '--no-instructions'],
    options,
  );
  const settings = ['listen_addresses=', 'timezone=UTC', 'fsync=off', 'synchronous_commit=off', 'full_page_writes=off'];
  const server = new Child(
    'Postgres',
    find('postgres'),
    ['-D', data, '-k', directory, ...settings.flatMap((setting) => ['-c', setting])],
    { ...options, ending: 'SIGQUIT' }, // Postgres's immediate shutdown: nobody needs the data any more
  );
  await server.line(/ready to accept connections/);
  return `postgres://handoff@/postgres?${new URLSearchParams({ host: directory, sslmode: 'disable' })}`;
}

/**
 * A program of Postgres: on the PATH, or of the newest version where Debian puts them. initdb looks for postgres
 * beside its real place, not beside a link.
 */
function find(program) {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian).sort((a, b) => Number(b) - Number(a)) : [];
  const places = [...process.env.PATH.split(delimiter), ...versions.map((version) => join(debian, version, 'bin'))];
  const found = places.map((place) => join(place, program)).find((path) => existsSync(path));
  if (!found) throw new Error(`there is no ${program} on PATH or in ${debian}/*/bin; .ci/postgres.sh installs it`);
  return ['initdb', 'postgres'].includes(program) ? realpathSync(found) : found;
}

/** Whom the server runs as when we are root, because Postgres refuses to run as root; else undefined. */
function unprivileged() {
  if (process.getuid() !== 0) return undefined;
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = (what) => Number(execFileSync('id', [what, name], { stdio: ['ignore', 'pipe', 'ignore'] }));
      return { uid: id('-u'), gid: id('-g') };
    } catch {
      continue; // there is no such user
    }
  }
  throw new Error('Postgres does not run as root, and there is no user postgres or nobody to run it as');
}
