package store

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"

	"handoff/internal/handoff"
)

type handoffRow struct {
	ID             string
	ConversationID string
	AgentID        string
	ConnectionID   string
	DeskKind       string
	Mode           string
	State          string
	Reason         string
	DeskRef        string
	DeskBegun      bool
	Email          string
	Note           string
	Summary        string
	RequestSeq     int64
	ContextRounds  int64
	EmailPolicy    string
	EmailTries     int64
	HeldSeqs       string
	Operator       string
	ClaimedBy      string
	WaitTimeout    int64
	SessionTimeout int64
	AskToWait      bool
	Language       string
	DeadlineKind   string
	DeadlineAt     instant
	AlarmAt        instant
	CheckAt        instant
	CaughtUpAt     instant
	RequestedAt    instant
	AcceptedAt     instant
	WaitingSince   instant
	ConnectedAt    instant
	ClosedAt       instant
	EndSeq         int64
	DeskClosed     bool
	DeskReadsLog   bool
	UpdatedAt      instant `gorm:"autoUpdateTime:false"`
	Version        int64
}

func (handoffRow) TableName() string { return "handoffs" }

func newHandoffRow(h *handoff.Handoff) handoffRow {
	return handoffRow{
		ID: h.ID, ConversationID: h.ConversationID, AgentID: h.AgentID, ConnectionID: h.ConnectionID,
		DeskKind: h.DeskKind, Mode: string(h.Mode), State: string(h.State), Reason: string(h.Reason),
		DeskRef: h.DeskRef, DeskBegun: h.DeskBegun,
		Email: h.Email, Note: h.Note, Summary: h.Summary, RequestSeq: h.RequestSeq, ContextRounds: int64(h.ContextRounds),
		EmailPolicy: string(h.EmailPolicy), EmailTries: int64(h.EmailTries), HeldSeqs: encodeList(h.HeldSeqs),
		Operator: h.Operator, ClaimedBy: h.ClaimedBy, WaitTimeout: int64(h.WaitTimeout), SessionTimeout: int64(h.SessionTimeout),
		AskToWait: h.AskToWait, Language: h.Language,
		DeadlineKind: string(h.DeadlineKind), DeadlineAt: instant(h.DeadlineAt), AlarmAt: instant(h.DeadlineAt), CheckAt: instant(h.CheckAt),
		RequestedAt: instant(h.RequestedAt), AcceptedAt: instant(h.AcceptedAt), WaitingSince: instant(h.WaitingSince),
		ConnectedAt: instant(h.ConnectedAt), ClosedAt: instant(h.ClosedAt), EndSeq: h.EndSeq,
		DeskClosed: h.DeskClosed, DeskReadsLog: h.DeskReadsLog, UpdatedAt: instant(h.UpdatedAt), Version: h.Version,
	}
}

func (r *handoffRow) handoff() (handoff.Handoff, error) {
	held, err := decodeList[int64](r.HeldSeqs)
	if err != nil {
		return handoff.Handoff{}, damaged(err, "handoff")
	}
	return handoff.Handoff{
		ID: r.ID, ConversationID: r.ConversationID, AgentID: r.AgentID, ConnectionID: r.ConnectionID,
		DeskKind: r.DeskKind, Mode: handoff.Mode(r.Mode), State: handoff.State(r.State), Reason: handoff.CloseReason(r.Reason),
		DeskRef: r.DeskRef, DeskBegun: r.DeskBegun, Email: r.Email, Note: r.Note, Summary: r.Summary,
		RequestSeq: r.RequestSeq, ContextRounds: int(r.ContextRounds),
		EmailPolicy: handoff.EmailPolicy(r.EmailPolicy), EmailTries: int(r.EmailTries), HeldSeqs: held,
		Operator: r.Operator, ClaimedBy: r.ClaimedBy, WaitTimeout: handoff.Seconds(r.WaitTimeout),
		SessionTimeout: handoff.Seconds(r.SessionTimeout), AskToWait: r.AskToWait, Language: r.Language,
		DeadlineKind: handoff.DeadlineKind(r.DeadlineKind), DeadlineAt: r.DeadlineAt.time(), CheckAt: r.CheckAt.time(),
		RequestedAt: r.RequestedAt.time(), AcceptedAt: r.AcceptedAt.time(), WaitingSince: r.WaitingSince.time(),
		ConnectedAt: r.ConnectedAt.time(), ClosedAt: r.ClosedAt.time(), EndSeq: r.EndSeq,
		DeskClosed: r.DeskClosed, DeskReadsLog: r.DeskReadsLog, UpdatedAt: r.UpdatedAt.time(), Version: r.Version,
	}, nil
}

// handoffAsStored is the Handoff as it is read back, sharing nothing with h.
func handoffAsStored(h handoff.Handoff) handoff.Handoff {
	for _, t := range []*time.Time{
		&h.DeadlineAt, &h.CheckAt, &h.RequestedAt, &h.AcceptedAt, &h.WaitingSince, &h.ConnectedAt, &h.ClosedAt, &h.UpdatedAt,
	} {
		*t = micro(*t)
	}
	if len(h.HeldSeqs) == 0 {
		h.HeldSeqs = nil
	}
	h.HeldSeqs = slices.Clone(h.HeldSeqs)
	return h
}

func (r *handoffRow) position() position { return position{at: r.RequestedAt.time(), id: r.ID} }

func handoffsOf(rows []handoffRow) ([]handoff.Handoff, error) {
	list := make([]handoff.Handoff, len(rows))
	for i := range rows {
		var err error
		if list[i], err = rows[i].handoff(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Handoff implements [handoff.HandoffStore].
func (s *Store) Handoff(ctx context.Context, id string) (handoff.Handoff, error) {
	var row handoffRow
	if err := s.read(ctx).Where("id = ?", id).Take(&row).Error; err != nil {
		return handoff.Handoff{}, missing(err, "handoff")
	}
	return row.handoff()
}

// HandoffByRef implements [handoff.HandoffStore]. An empty deskRef is nobody's.
func (s *Store) HandoffByRef(ctx context.Context, connectionID, deskRef string) (handoff.Handoff, error) {
	var row handoffRow
	q := s.read(ctx).Where("desk_ref = ? AND desk_ref <> ''", deskRef)
	if connectionID != "" {
		q = q.Where("connection_id = ?", connectionID)
	}
	if err := q.Order("requested_at DESC, id DESC").Take(&row).Error; err != nil {
		return handoff.Handoff{}, missing(err, "handoff")
	}
	return row.handoff()
}

const isOpen = "state <> 'CLOSED'"

// Handoffs implements [handoff.HandoffStore].
func (s *Store) Handoffs(ctx context.Context, f handoff.HandoffFilter, p handoff.Page) (handoff.List[handoff.Handoff], error) {
	o := order{list: "handoffs", time: "requested_at", oldestFirst: f.OldestFirst}
	if f.OldestFirst {
		o.list = "queue"
	}
	var rows []handoffRow
	q, err := o.apply(handoffFilter(s.read(ctx), &f), p)
	if err != nil {
		return handoff.List[handoff.Handoff]{}, err
	}
	if err := q.Find(&rows).Error; err != nil {
		return handoff.List[handoff.Handoff]{}, classify(err)
	}
	return pageOf(o, p, rows, (*handoffRow).handoff, (*handoffRow).position)
}

func handoffFilter(q *gorm.DB, f *handoff.HandoffFilter) *gorm.DB {
	for _, equal := range []struct{ column, value string }{
		{"agent_id", f.AgentID},
		{"conversation_id", f.ConversationID},
		{"connection_id", f.ConnectionID},
		{"desk_kind", f.DeskKind},
		{"claimed_by", f.ClaimedBy},
	} {
		if equal.value != "" {
			q = q.Where(equal.column+" = ?", equal.value)
		}
	}
	if len(f.States) > 0 {
		q = q.Where("state IN ?", f.States)
		if !slices.Contains(f.States, handoff.StateClosed) {
			q = q.Where(isOpen) // what the indexes of the open ones ask for
		}
	}
	if len(f.Reasons) > 0 {
		q = q.Where("reason IN ?", f.Reasons)
		if !slices.Contains(f.Reasons, handoff.ReasonNone) {
			q = q.Where("state = 'CLOSED'")
		}
	}
	if f.ReadsLog {
		q = q.Where("desk_reads_log = ?", true)
	}
	if !f.RequestedFrom.IsZero() {
		q = q.Where("requested_at >= ?", instant(f.RequestedFrom))
	}
	if !f.RequestedUntil.IsZero() {
		q = q.Where("requested_at < ?", instant(f.RequestedUntil))
	}
	return q
}

// OpenHandoffIDs implements [handoff.HandoffStore]. An empty Agent or connection means any.
func (s *Store) OpenHandoffIDs(ctx context.Context, agentID, connectionID string, limit int) ([]string, error) {
	f := handoff.HandoffFilter{AgentID: agentID, ConnectionID: connectionID}
	var ids []string
	err := handoffFilter(s.read(ctx).Model(&handoffRow{}), &f).Where(isOpen).
		Order("requested_at, id").Limit(limit).Pluck("id", &ids).Error
	return ids, classify(err)
}

// CountOpenHandoffs implements [handoff.HandoffStore].
func (s *Store) CountOpenHandoffs(ctx context.Context) (map[handoff.State]int64, error) {
	var counts []struct {
		State handoff.State
		N     int64
	}
	err := s.read(ctx).Model(&handoffRow{}).Select("state, count(*) AS n").Where(isOpen).Group("state").Find(&counts).Error
	if err != nil {
		return nil, classify(err)
	}
	byState := make(map[handoff.State]int64, len(counts))
	for _, c := range counts {
		byState[c.State] = c.N
	}
	return byState, nil
}
