// Child processes and scratch directories that do not outlive this process,
// however it ends (but for SIGKILL).
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

const endings = [];

/** Has `end` called when this process ends, the newest first. It must not be asynchronous. */
export function atExit(end) {
  endings.push(end);
}

process.on('exit', (code) => {
  for (const end of endings.reverse()) {
    try {
      end(code);
    } catch (error) {
      console.error(error);
    }
  }
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1));

/**
 * A private directory, removed in the end. It lies in /tmp whatever TMPDIR says: the path of a Unix socket
 * must be short.
 */
export function scratchDirectory(prefix) {
  const directory = mkdtempSync(join('/tmp', prefix));
  atExit(() => rmSync(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 }));
  return directory;
}

/** Runs a program to its end; throws with what it wrote unless its exit code is 0. */
export const run = promisify(execFile);

/** The end of what a process wrote, for the reader of a failure. */
const tail = (lines) => lines.filter((line) => !line.includes('level=DEBUG')).slice(-15).join('\n');

/** A program that runs beside this one. */
export class Child {
  /**
   * @param name    for messages
   * @param options of spawn, and `ending`: the signal that ends it when this process does
   */
  constructor(name, command, args, { ending = 'SIGKILL', ...options }) {
    this.name = name;
    this.output = []; // every line of standard output and standard error
    this.waiting = new Set();
    this.toldToEnd = false;
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    this.process = child;
    this.exited = once(child, 'exit').then(([code, signal]) => ({ code, signal }));
    this.exited.catch(() => {}); // whoever waits for it hears of it
    this.closed = Promise.all([child.stdout, child.stderr].map((stream) => this.read(stream)));
    atExit((code) => {
      child.kill(ending);
      if (code && !this.toldToEnd) console.error(`--- last lines of ${name}\n${tail(this.output)}`);
    });
  }

  async read(stream) {
    for await (const line of createInterface({ input: stream })) {
      this.output.push(line);
      for (const look of this.waiting) look(line);
    }
  }

  /** The match of the first line, written already or to come, that fits the pattern. */
  line(pattern) {
    return new Promise((resolve, reject) => {
      const look = (line) => {
        const match = pattern.exec(line);
        if (!match) return;
        this.waiting.delete(look);
        resolve(match);
      };
      this.waiting.add(look);
      this.output.forEach(look);
      Promise.all([this.exited, this.closed]).then(
        () => reject(new Error(`${this.name} ended:\n${tail(this.output)}`)),
        reject,
      );
    });
  }

  get pid() {
    return this.process.pid;
  }

  /** Waits for the end and for the last line; gives { code, signal }. */
  async ended() {
    const [end] = await Promise.all([this.exited, this.closed]);
    this.toldToEnd = true;
    return end;
  }

  /** Sends the signal and waits for the end. */
  end(signal) {
    this.process.kill(signal);
    return this.ended();
  }
}
