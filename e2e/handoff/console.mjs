// What somebody sees who watches the handoffs of an Agent.
import { eventually } from './eventually.mjs';

const subscription = `subscription ($id: ID!) {
  handoffUpdates(agentId: $id) { initial handoff { id state reason version claimedBy operatorNotes { text } } }
}`;

export class Console {
  /** @param client of clients.mjs, with an agent key */
  constructor(client, agentId) {
    this.client = client;
    this.updates = [];
    this.run(agentId).catch((error) => (this.failure = error)); // whoever waits is told
  }

  async run(id) {
    for await (const { data, errors } of this.client.iterate({ query: subscription, variables: { id } })) {
      if (errors) throw Object.assign(new Error(errors[0].message), { errors });
      this.updates.push(data.handoffUpdates);
    }
  }

  /** The first update that passes the test, seen already or to come. */
  until(test) {
    const look = () => {
      const found = this.updates.find(test);
      if (!found && this.failure) throw this.failure;
      return found;
    };
    return eventually('such update', look, () => this.updates);
  }

  leave() {
    this.client.dispose();
  }
}
