// Package stream is the realtime side: it hands what was committed to those who
// watch, and makes up for everything that goes missing on the way.
//
// # Two kinds of streams
//
// The stream of a Conversation ([SubscribeConversation]) delivers every event of
// its log after a cursor once and in order, then live. The stream of an Agent's
// handoffs ([SubscribeHandoffs]) is for consoles and shows states, not history: a
// slow console skips versions, but always ends at the newest. The Conversations that
// await an Agent ([SubscribeAwaiting]) are told to its runtime in the same way.
//
// # Hints and truth
//
// The log in the database is the truth. [Hub.Committed], the [Bus] and the poll
// are hints. A hint that carries the very next event is delivered as it is, in
// the goroutine of the committer, without touching the database. Any other hint
// only says that there is something to read.
//
// # Why no event is missed and none comes twice
//
// A channel has one owner at a time, and only the owner sends to it or closes it:
//
//   - A live subscriber belongs to its topic (one per watched Conversation) and is
//     served under the topic's mutex, without ever waiting. The topic counts in
//     seq what its live subscribers have got, and goes forward one event at a time:
//     an event whose number is not seq+1 is not delivered but read from the log.
//     So a live subscriber sees neither a gap nor a repetition.
//   - A subscriber that is behind, because it is new or because its channel was
//     full, belongs to a temporary goroutine that reads the log after the
//     subscriber's own position and waits for the reader.
//
// The hand-over back to the topic is the one delicate moment. It happens under
// the topic's mutex, after a read that reached the end of the log, and only if
// the subscriber's position is not below seq. Take any event committed after that
// read began. Its hint comes after its commit, so it finds the topic, which has
// been registered since before the first read. If the hint comes before the
// hand-over, it has raised seq, or wanted, the number up to which the topic knows
// that there is something to read: then the subscriber reads on, or the topic
// reads for it once it is live. If the hint comes after the hand-over, the
// subscriber is live and the event is delivered, or shows a gap and is read. If
// the hint is lost, the next hint shows the gap, or else the poll does.
//
// # What it costs
//
// An idle subscription has no goroutine and no timer. A reader that stops holds
// its channel's buffer and at most one page of the log. Reads of the log are
// limited over the whole hub, so a thousand readers that fall behind together
// queue up instead of drowning the database; and what all live subscribers of a
// Conversation miss is read once for all.
package stream
