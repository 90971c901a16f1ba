package store

import (
	"context"
	"database/sql"
	"errors"
	"sync"

	"gorm.io/gorm"
)

// prepared keeps the statements of SQLite prepared: parsing takes longer than most
// of them run. It is safe for concurrent use when what is below it is.
type prepared struct {
	gorm.ConnPool // a pool, or the one connection that writes
	mu            sync.Mutex
	statements    map[string]*sql.Stmt
}

// maxPrepared bounds the statements that are kept; lists of different lengths make
// new ones. The others are parsed every time.
const maxPrepared = 200

func newPrepared(on gorm.ConnPool) *prepared {
	return &prepared{ConnPool: on, statements: map[string]*sql.Stmt{}}
}

// statement is nil when the query is not kept.
func (p *prepared) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known, ok := p.statements[query]; ok || len(p.statements) >= maxPrepared {
		return known, nil
	}
	s, err := p.PrepareContext(ctx, query) //nolint:sqlclosecheck // kept; forget closes it
	if err != nil {
		return nil, err
	}
	p.statements[query] = s
	return s, nil
}

// forget closes the statements.
func (p *prepared) forget() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	for query, s := range p.statements {
		errs = append(errs, s.Close())
		delete(p.statements, query)
	}
	return errors.Join(errs...)
}

// ExecContext implements [gorm.ConnPool].
func (p *prepared) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	s, err := p.statement(ctx, query) //nolint:sqlclosecheck // kept for the next time; forget closes it
	if err != nil {
		return nil, err
	}
	if s == nil {
		return p.ConnPool.ExecContext(ctx, query, args...)
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext implements [gorm.ConnPool].
func (p *prepared) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := p.statement(ctx, query) //nolint:sqlclosecheck // kept for the next time; forget closes it
	if err != nil {
		return nil, err
	}
	if s == nil {
		return p.ConnPool.QueryContext(ctx, query, args...)
	}
	return s.QueryContext(ctx, args...)
}

// QueryRowContext implements [gorm.ConnPool].
func (p *prepared) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	s, err := p.statement(ctx, query) //nolint:sqlclosecheck // kept for the next time; forget closes it
	if err != nil || s == nil {
		return p.ConnPool.QueryRowContext(ctx, query, args...) // reports the same error
	}
	return s.QueryRowContext(ctx, args...)
}
