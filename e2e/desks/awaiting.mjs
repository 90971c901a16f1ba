// What an Agent's runtime is told to answer.
import { follow } from '../clients.mjs';
import { eventually } from '../handoff/eventually.mjs';

export class Awaiting {
  constructor(client, agentId) {
    this.client = client;
    this.updates = [];
    this.run(agentId).catch((error) => (this.failure = error)); // whoever waits is told
  }

  async run(id) {
    const query = `subscription ($id: ID!) { awaitingConversationUpdates(agentId: $id) {
      conversation { id channel lastSeq epoch deskRef user { id name email } } } }`;
    for await (const { awaitingConversationUpdates: update } of follow(this.client, { query, variables: { id } }, { of: () => undefined })) {
      this.updates.push(update.conversation);
    }
  }

  /** The Conversation of a session, told with at least so many events. */
  until(ref, lastSeq = 1) {
    const look = () => {
      if (this.failure) throw this.failure;
      return this.updates.findLast((one) => one.deskRef === ref && one.lastSeq >= lastSeq);
    };
    return eventually('conversation that awaits the agent', look, () => this.updates.slice(-3));
  }
}
