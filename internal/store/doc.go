// Package store keeps everything in one database: Postgres, or an embedded SQLite
// file. It implements [handoff.Store] and is the only package that knows GORM and SQL.
//
// # Reading and writing
//
// Ordinary queries go through GORM. What every message needs is plain SQL on
// GORM's connections, written once with $1-style parameters, which both databases
// understand. Writes run in [Store.write]: a transaction on Postgres; on SQLite a
// queue with one writer, because SQLite has one, which commits many at once.
//
// # Change
//
// A change is optimistic. It is decided on a [handoff.Snapshot], usually out of
// memory, and committed on the condition that the Conversation still has the
// version it was decided on. Whoever changes a Handoff or the log raises that
// version in the same transaction, so an unchanged version proves an unchanged
// snapshot, and the row of the Conversation is the lock that orders everything.
// When somebody else was faster the snapshot is read again and decided again.
//
// On Postgres the changes that make up the traffic (events, deliveries, the
// deadline of the open Handoff) are gathered: while one batch commits, the next
// gathers, and becomes one statement. All other changes, and every change on
// SQLite, are a few statements in a transaction of their own.
//
// # Lanes
//
// Deliveries of one lane leave one after the other. The row of the lane is the
// lock of its deliveries, and these rules hold whenever nobody holds the lock:
//
//   - Whatever is not dead comes after done_seq and not after last_seq.
//   - ready_at is null only if there is nothing to deliver and no lease.
//   - Whoever adds deliveries raises last_seq. Whoever removes those that are not
//     his to finish moves done_seq past them or raises last_seq. So a statement that
//     waited for the lock can tell whether what it saw before is still there.
//
// "Is anything left?" is answered by last_seq and done_seq, or by a statement of
// its own under the lock; never by a subquery of the statement that takes the
// lock, because that sees the deliveries as they were before it waited.
package store
