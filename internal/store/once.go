package store

import (
	"context"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"handoff/internal/handoff"
)

type onceRow struct {
	Scope  string
	Key    string
	Result string
	At     instant
}

func (onceRow) TableName() string { return "once" }

func (s *Store) newOnceRow(o *handoff.OnceKey) onceRow {
	at := o.At
	if at.IsZero() {
		at = s.now()
	}
	return onceRow{Scope: o.Scope, Key: o.Key, Result: o.Result, At: instant(at)}
}

// Once implements [handoff.ConversationStore].
func (s *Store) Once(ctx context.Context, scope, key string) (string, error) {
	return readOnce(s.read(ctx), scope, key)
}

func readOnce(db *gorm.DB, scope, key string) (string, error) {
	var rows []onceRow
	err := db.Where("scope = ? AND key = ?", scope, key).Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return "", classify(err)
	}
	return rows[0].Result, nil
}

// insertOnce reports false when the key is known already. On Postgres it waits for
// a transaction that is just writing the same key.
func insertOnce(tx *gorm.DB, row *onceRow) (bool, error) {
	done := tx.Clauses(clause.OnConflict{DoNothing: true}).Create(row)
	return done.RowsAffected == 1, done.Error
}

// create inserts a row unless its idempotency key is known: then it gives what was
// made under it. made is "" when the row was inserted.
func create[Row any](ctx context.Context, s *Store, row *Row, once *handoff.OnceKey, before ...func(tx *gorm.DB) error) (made string, err error) {
	if err := storable(row); err != nil {
		return "", err
	}
	err = s.write(ctx, func(tx *gorm.DB) error {
		made = ""
		if once != nil {
			key := s.newOnceRow(once)
			if err := storable(&key); err != nil {
				return err
			}
			fresh, err := insertOnce(tx, &key)
			if err != nil {
				return err
			}
			if !fresh {
				made, err = readOnce(tx, once.Scope, once.Key)
				return err
			}
		}
		for _, check := range before {
			if err := check(tx); err != nil {
				return err
			}
		}
		return tx.Create(row).Error
	})
	return made, err
}
