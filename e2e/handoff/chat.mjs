// What somebody sees who follows a conversation.
import assert from 'node:assert/strict';
import { follow } from '../clients.mjs';
import { eventFields } from './api.mjs';
import { eventually } from './eventually.mjs';

const subscription = `subscription ($id: ID!, $after: Int64!) {
  conversationUpdates(conversationId: $id, after: $after) { ${eventFields} ... on Signal { author kind } }
}`;

const has = (event, fields) => Object.entries(fields).every(([name, value]) => event[name] === value);

/** Follows a conversation over a client of clients.mjs, reconnecting behind the last event seen. */
export class Chat {
  constructor(client, conversationId, after = 0) {
    this.client = client;
    this.events = []; // everything with a number, as it came
    this.signals = [];
    this.read = 0; // up to where until() has looked
    this.run({ id: conversationId, after }).catch((error) => (this.failure = error)); // whoever waits is told
  }

  async run(variables) {
    const cursor = { variable: 'after', of: ({ conversationUpdates: { seq } }) => seq };
    for await (const { conversationUpdates: update } of follow(this.client, { query: subscription, variables }, cursor)) {
      (update.__typename === 'Signal' ? this.signals : this.events).push(update);
    }
  }

  /** The next event behind those that were waited for before that has all of these fields. */
  until(fields, seconds) {
    return this.wait(JSON.stringify(fields), () => {
      while (this.read < this.events.length) {
        const event = this.events[this.read++];
        if (has(event, fields)) return event;
      }
    }, seconds);
  }

  /** The event with this number. */
  upTo(seq, seconds) {
    return this.wait(`event ${seq}`, () => this.events.find((event) => event.seq === seq), seconds);
  }

  /** A signal with all of these fields. */
  signalled(fields) {
    return this.wait(JSON.stringify(fields), () => this.signals.find((signal) => has(signal, fields)));
  }

  /** Waits until it has failed with this code. */
  async failed(code) {
    await eventually(`failure with ${code}`, () => this.failure, () => this.events);
    const [error] = this.failure.errors ?? this.failure; // graphql-ws throws the list itself
    assert.equal(error?.extensions?.code, code);
  }

  wait(what, look, seconds) {
    const unlessFailed = () => {
      const found = look();
      if (!found && this.failure) throw this.failure;
      return found;
    };
    return eventually(what, unlessFailed, () => ({ events: this.events.slice(-5), signals: this.signals.slice(-5) }), seconds);
  }

  /** Fails unless every event came once, in order, without a gap. */
  assertNumbered() {
    assert.deepEqual(
      this.events.map((event) => event.seq),
      this.events.map((_, index) => index + 1),
    );
  }

  leave() {
    this.client.dispose();
  }
}
