package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// OnlyMany makes a Store on Postgres write every ordinary change with the statement
// for many, also one that comes alone.
func OnlyMany(ctx context.Context, s *Store, url string) error {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return err
	}
	pool, err := openBatchPool(ctx, config, 1)
	if err != nil {
		return err
	}
	s.changes.run = func(ctx context.Context, batch []*plan) (map[string]struct{}, error) {
		return writeMany(ctx, pool, batch)
	}
	s.closers = append(s.closers, func() error {
		pool.Close()
		return nil
	})
	return nil
}

// Rows lists the columns of every row type by its table.
func Rows() map[string][]string {
	return map[string][]string{
		"agents":         columnsOf[agentRow](),
		"agent_keys":     columnsOf[keyRow](),
		"desk_memory":    columnsOf[deskMemoryRow](),
		"connections":    columnsOf[connectionRow](),
		"conversations":  columnsOf[conversationRow](),
		"events":         columnsOf[eventRow](),
		"handoffs":       columnsOf[handoffRow](),
		"operator_notes": columnsOf[noteRow](),
		"lanes":          columnsOf[laneRow](),
		"deliveries":     columnsOf[deliveryRow](),
		"once":           columnsOf[onceRow](),
	}
}

// LimitDeskMemory sets how many keys the desk of a connection may have.
func LimitDeskMemory(s *Store, keys int64) { s.maxDeskMemory = keys }
