// Package history fills a database with conversations of the past, as the service
// would have left them, so that it can be measured what a long history costs. It
// writes past the service, because a million messages through it would take long.
package history

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"handoff/internal/handoff"
)

// Owner is whose conversations they are. Both exist already.
type Owner struct {
	AgentID      string
	ConnectionID string
}

// MessagesPerConversation is how many messages a conversation has: ten rounds with
// the Agent, then one session at the desk.
const MessagesPerConversation = 50

const (
	rounds      = 10
	humanPart   = MessagesPerConversation - 2*rounds - systemTexts
	systemTexts = 3 // connecting, connected, ended
	past        = 90 * 24 * time.Hour
	chunkSize   = 100 // conversations in one transaction
)

// Fill adds closed conversations with so many messages in all, rounded up to whole
// conversations, spread over the 90 days before now. The database has the schema of
// this version, and nobody else uses it. The address is a postgres:// URL, or else
// the path of an SQLite file.
func Fill(ctx context.Context, address string, owner Owner, messages int, now time.Time) (err error) {
	s, err := open(ctx, address)
	if err != nil {
		return err
	}
	defer func() {
		if closed := s.close(ctx); err == nil {
			err = closed
		}
	}()
	conversations := (messages + MessagesPerConversation - 1) / MessagesPerConversation
	for first := 0; first < conversations; first += chunkSize {
		var c chunk
		for i := first; i < min(first+chunkSize, conversations); i++ {
			begin := now.Add(-past).Add(past * time.Duration(i) / time.Duration(conversations))
			c.conversation(owner, i, begin.UTC().Truncate(time.Microsecond))
		}
		if err := s.write(ctx, &c); err != nil {
			return fmt.Errorf("fill the database: %w", err)
		}
	}
	return s.finish(ctx)
}

// tables in the order in which rows can be added.
var tables = []struct {
	name    string
	columns []string
}{
	{"conversations", []string{
		"id", "agent_id", "channel", "user_id", "anonymous_id", "user_name", "email", "phone", "language", "custom_fields",
		"control", "epoch", "open_handoff_id", "last_seq", "version", "created_at", "updated_at", "connection_id", "desk_ref", "human_seq",
	}},
	{"handoffs", []string{
		"id", "conversation_id", "agent_id", "connection_id", "desk_kind", "mode", "state", "reason", "desk_ref", "desk_begun", "email",
		"note", "summary", "request_seq", "context_rounds", "email_policy", "email_tries", "held_seqs", "operator", "claimed_by",
		"wait_timeout", "session_timeout", "ask_to_wait", "language", "deadline_kind", "deadline_at", "alarm_at",
		"requested_at", "accepted_at", "waiting_since", "connected_at", "closed_at", "end_seq", "desk_closed", "desk_reads_log",
		"updated_at", "version",
	}},
	{"events", []string{"conversation_id", "seq", "at", "kind", "author", "handoff_id", "key", "text", "data"}},
	{"lanes", []string{"key", "last_seq", "done_seq", "ready_at", "lease_owner"}},
}

const (
	conversationsTable = iota
	handoffsTable
	eventsTable
	lanesTable
)

// chunk is what one transaction adds: rows of each table.
type chunk struct{ rows [4][][]any }

func (c *chunk) add(table int, values ...any) { c.rows[table] = append(c.rows[table], values) }

// conversation adds one conversation with its log.
func (c *chunk) conversation(owner Owner, index int, begin time.Time) {
	l := log{chunk: c, id: handoff.NewID(handoff.ConversationPrefix), owner: owner, at: begin}
	for range rounds {
		l.message(handoff.AuthorUser, "", "Do you ship to Penghu, and how long does it take from there?")
		l.message(handoff.AuthorAgent, `{"epoch":1}`, "Yes. Delivery to Penghu takes five to seven days; you can follow the parcel in your account.")
	}
	requested, requestSeq := l.at, l.seq
	l.handoffID = handoff.NewID(handoff.HandoffPrefix)
	l.change(handoff.EventHandoffChanged, `{"state":"REQUESTING"}`)
	l.change(handoff.EventControlChanged, `{"control":"HANDOFF","epoch":2}`)
	l.change(handoff.EventHandoffChanged, `{"state":"WAITING"}`)
	accepted := l.at
	l.message(handoff.AuthorSystem, `{"notice":"CONNECTING"}`, "I am connecting you to a colleague. One moment, please.")
	l.change(handoff.EventHandoffChanged, `{"state":"ACTIVE"}`)
	connected := l.at
	l.message(handoff.AuthorSystem, `{"notice":"CONNECTED"}`, "You are now connected to a colleague.")
	toDesk := int64(1) // the request itself
	for i := range humanPart {
		if i%2 == 0 {
			l.message(handoff.AuthorOperator, "", "I am checking your parcel now. It has left the depot and is on its way.")
		} else {
			l.message(handoff.AuthorUser, "", "Thank you. It is order 4711, ordered a week ago.")
			toDesk++
		}
	}
	l.change(handoff.EventHandoffChanged, `{"state":"CLOSED","reason":"OPERATOR_ENDED"}`)
	l.message(handoff.AuthorSystem, `{"notice":"ENDED_BY_OPERATOR"}`, "Our colleague has ended the conversation.")
	l.change(handoff.EventControlChanged, `{"control":"AGENT","epoch":3}`)

	email := fmt.Sprintf("member%d@example.com", index)
	c.add(conversationsTable, l.id, owner.AgentID, "WIDGET", fmt.Sprintf("member-%d", index), "", "Mei", email, "", "en", "{}",
		"AGENT", int64(3), nil, l.seq, l.seq, begin, l.at, "", "", int64(0))
	c.add(handoffsTable, l.handoffID, l.id, owner.AgentID, owner.ConnectionID, "webhook", "EXTERNAL_TO_DESK", "CLOSED", "OPERATOR_ENDED",
		digest(l.handoffID)[:24], false, email, "Parcel is late", "", requestSeq, int64(5), "ASK", int64(0), "[]", "", "",
		int64(60), int64(180), true, "en", "", nil, nil,
		requested, accepted, nil, connected, l.at, l.seq, true, false, l.at, l.seq-requestSeq)
	c.add(lanesTable, handoff.LaneOf(l.handoffID), toDesk, toDesk, nil, nil)
}

// log writes the events of one conversation.
type log struct {
	chunk     *chunk
	owner     Owner
	id        string
	handoffID string // "" = before the handoff
	seq       int64
	at        time.Time
}

// pause is the time between two events.
const pause = 20 * time.Second

func (l *log) message(author handoff.Author, data, text string) {
	var key any
	if author == handoff.AuthorOperator {
		// As the webhook desk makes them for calls without an id.
		key = "desk:" + l.owner.ConnectionID + ":" + digest(l.handoffID)[:24] + ":content:" + digest(fmt.Sprintf("%s/%d", l.id, l.seq))
	}
	l.event(handoff.EventMessage, author, key, data, text)
}

func (l *log) change(kind handoff.EventKind, data string) { l.event(kind, "", nil, data, "") }

func (l *log) event(kind handoff.EventKind, author handoff.Author, key any, data, text string) {
	l.seq++
	l.at = l.at.Add(pause)
	var stored any
	if data != "" {
		stored = data
	}
	l.chunk.add(eventsTable, l.id, l.seq, l.at, string(kind), string(author), l.handoffID, key, text, stored)
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// sink writes chunks.
type sink interface {
	write(ctx context.Context, c *chunk) error
	// finish leaves the database as it is long after such a load.
	finish(ctx context.Context) error
	close(ctx context.Context) error
}

func open(ctx context.Context, address string) (sink, error) {
	if strings.HasPrefix(address, "postgres") {
		return openPostgres(ctx, address)
	}
	return openSQLite(address)
}
