package store

import (
	"context"

	"gorm.io/gorm"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

type noteRow struct {
	ID        string
	HandoffID string
	Operator  string
	Text      string
	At        instant
}

func (noteRow) TableName() string { return "operator_notes" }

// maxNotes bounds the notes of one Handoff.
const maxNotes = 1_000

// AddNote implements [handoff.HandoffStore]: LimitReached beyond 1,000 notes of
// one Handoff, or a few more when several are added at once.
func (s *Store) AddNote(ctx context.Context, n handoff.OperatorNote) error {
	row := noteRow{ID: n.ID, HandoffID: n.HandoffID, Operator: n.Operator, Text: n.Text, At: instant(n.At)}
	if err := storable(&row); err != nil {
		return err
	}
	return s.write(ctx, func(tx *gorm.DB) error {
		if err := tx.Select("id").Where("id = ?", n.HandoffID).Take(&handoffRow{}).Error; err != nil {
			return missing(err, "handoff")
		}
		var count int64
		if err := tx.Model(&noteRow{}).Where("handoff_id = ?", n.HandoffID).Count(&count).Error; err != nil {
			return err
		}
		if count >= maxNotes {
			return fault.New(fault.LimitReached, "the handoff has %d notes, at most %d are allowed", count, maxNotes)
		}
		return tx.Create(&row).Error
	})
}

// Notes implements [handoff.HandoffStore].
func (s *Store) Notes(ctx context.Context, handoffID string) ([]handoff.OperatorNote, error) {
	var rows []noteRow
	err := s.read(ctx).Where("handoff_id = ?", handoffID).Order("at, id").Limit(maxNotes).Find(&rows).Error
	notes := make([]handoff.OperatorNote, len(rows))
	for i, r := range rows {
		notes[i] = handoff.OperatorNote{ID: r.ID, HandoffID: r.HandoffID, Operator: r.Operator, Text: r.Text, At: r.At.time()}
	}
	return notes, classify(err)
}
