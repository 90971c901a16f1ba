package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"handoff/internal/handoff"
)

type conversationRow struct {
	ID              string
	AgentID         string
	Channel         string
	UserID          string
	AnonymousID     string
	UserName        string
	Email           string
	Phone           string
	Language        string
	CustomFields    string
	Control         string
	Epoch           int64
	OpenHandoffID   *string
	LastSeq         int64
	Version         int64
	ConnectionID    string
	DeskRef         string
	UnansweredSince instant
	HumanSeq        int64
	CreatedAt       instant `gorm:"autoCreateTime:false"`
	UpdatedAt       instant `gorm:"autoUpdateTime:false"`
}

func (conversationRow) TableName() string { return "conversations" }

func newConversationRow(c *handoff.Conversation) conversationRow {
	return conversationRow{
		ID: c.ID, AgentID: c.AgentID, Channel: string(c.Channel),
		UserID: c.User.ID, AnonymousID: c.User.AnonymousID, UserName: c.User.Name, Email: c.User.Email, Phone: c.User.Phone,
		Language: c.Language, CustomFields: encodeMap(c.CustomFields),
		Control: string(c.Control), Epoch: c.Epoch, OpenHandoffID: optional(c.OpenHandoffID),
		ConnectionID: c.ConnectionID, DeskRef: c.DeskRef, UnansweredSince: instant(c.UnansweredSince), HumanSeq: c.HumanSeq,
		LastSeq: c.LastSeq, Version: c.Version, CreatedAt: instant(c.CreatedAt), UpdatedAt: instant(c.UpdatedAt),
	}
}

func (r *conversationRow) conversation() (handoff.Conversation, error) {
	fields, err := decodeMap(r.CustomFields)
	if err != nil {
		return handoff.Conversation{}, damaged(err, "conversation")
	}
	return handoff.Conversation{
		ID: r.ID, AgentID: r.AgentID, Channel: handoff.Channel(r.Channel),
		User:     handoff.User{ID: r.UserID, AnonymousID: r.AnonymousID, Name: r.UserName, Email: r.Email, Phone: r.Phone},
		Language: r.Language, CustomFields: fields,
		Control: handoff.Control(r.Control), Epoch: r.Epoch, OpenHandoffID: orEmpty(r.OpenHandoffID),
		ConnectionID: r.ConnectionID, DeskRef: r.DeskRef, UnansweredSince: r.UnansweredSince.time(), HumanSeq: r.HumanSeq,
		LastSeq: r.LastSeq, Version: r.Version, CreatedAt: r.CreatedAt.time(), UpdatedAt: r.UpdatedAt.time(),
	}, nil
}

// asStored is the Conversation as it is read back, sharing nothing with c.
func asStored(c handoff.Conversation) handoff.Conversation {
	c.UnansweredSince, c.CreatedAt, c.UpdatedAt = micro(c.UnansweredSince), micro(c.CreatedAt), micro(c.UpdatedAt)
	if len(c.CustomFields) == 0 {
		c.CustomFields = nil
	}
	c.CustomFields = maps.Clone(c.CustomFields)
	return c
}

func (r *conversationRow) position() position { return position{at: r.CreatedAt.time(), id: r.ID} }

var (
	conversationsNewest  = order{list: "conversations", time: "created_at"}
	conversationsWaiting = order{list: "awaiting", time: "unanswered_since", oldestFirst: true}
)

// awaitsAgent begins with what the index of unanswered ones asks for.
const awaitsAgent = "unanswered_since IS NOT NULL AND control = 'AGENT'"

// CreateConversation implements [handoff.ConversationStore]. It starts with an
// empty log, whatever c says.
func (s *Store) CreateConversation(ctx context.Context, c handoff.Conversation, once *handoff.OnceKey) (handoff.Conversation, error) {
	row := newConversationRow(&c)
	row.LastSeq, row.Version = 0, 1
	made, err := create(ctx, s, &row, once)
	if err != nil {
		return handoff.Conversation{}, err
	}
	if made != "" {
		return s.Conversation(ctx, made)
	}
	return row.conversation()
}

// Conversation implements [handoff.ConversationStore]. Those of a deleted Agent
// are found as long as workers may still have to end something in them; callers
// on behalf of somebody look at the Agent first.
func (s *Store) Conversation(ctx context.Context, id string) (handoff.Conversation, error) {
	var row conversationRow
	if err := s.read(ctx).Where("id = ?", id).Take(&row).Error; err != nil {
		return handoff.Conversation{}, missing(err, "conversation")
	}
	return row.conversation()
}

// ConversationByRef implements [handoff.ConversationStore]. Empty ids are nobody's.
func (s *Store) ConversationByRef(ctx context.Context, connectionID, deskRef string) (handoff.Conversation, error) {
	var row conversationRow
	if err := s.read(ctx).Where("connection_id = ? AND connection_id <> '' AND desk_ref = ?", connectionID, deskRef).Take(&row).Error; err != nil {
		return handoff.Conversation{}, missing(err, "conversation")
	}
	return row.conversation()
}

// Conversations implements [handoff.ConversationStore].
func (s *Store) Conversations(ctx context.Context, f handoff.ConversationFilter, p handoff.Page) (handoff.List[handoff.Conversation], error) {
	q, o, at := s.read(ctx).Where("agent_id = ?", f.AgentID), conversationsNewest, (*conversationRow).position
	if f.AwaitsAgent {
		q, o = q.Where(awaitsAgent), conversationsWaiting
		at = func(r *conversationRow) position { return position{at: r.UnansweredSince.time(), id: r.ID} }
	}
	q, err := o.apply(q, p)
	if err != nil {
		return handoff.List[handoff.Conversation]{}, err
	}
	var rows []conversationRow
	if err := q.Find(&rows).Error; err != nil {
		return handoff.List[handoff.Conversation]{}, classify(err)
	}
	return pageOf(o, p, rows, (*conversationRow).conversation, at)
}

// AwaitingConversations implements [handoff.ConversationStore]. It looks at all that
// await an answer: they are few while somebody answers.
func (s *Store) AwaitingConversations(ctx context.Context, agentIDs []string, since time.Time, afterID string, limit int) ([]handoff.Conversation, error) {
	var rows []conversationRow
	err := s.read(ctx).
		Where("agent_id IN (SELECT value FROM "+s.dialect.elements+") AND "+awaitsAgent, encode(agentIDs)).
		Where("(updated_at, id) > (?, ?)", instant(since), afterID).
		Order("updated_at, id").Limit(limit).Find(&rows).Error
	if err != nil {
		return nil, classify(err)
	}
	list := make([]handoff.Conversation, len(rows))
	for i := range rows {
		if list[i], err = rows[i].conversation(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// lastSeqsAtOnce bounds one statement.
const lastSeqsAtOnce = 500

// LastSeqs implements [handoff.ConversationStore].
func (s *Store) LastSeqs(ctx context.Context, conversationIDs []string) (map[string]int64, error) {
	seqs := make(map[string]int64, len(conversationIDs))
	for ids := range slices.Chunk(conversationIDs, lastSeqsAtOnce) {
		var found []struct {
			ID      string
			LastSeq int64
		}
		err := s.read(ctx).Raw("SELECT id, last_seq FROM conversations WHERE id IN (SELECT value FROM "+s.dialect.elements+")", encode(ids)).
			Scan(&found).Error
		if err != nil {
			return nil, classify(err)
		}
		for _, c := range found {
			seqs[c.ID] = c.LastSeq
		}
	}
	return seqs, nil
}
