// Package migrations holds the schema of both databases as plain SQL, applied in
// the order of the numbers. Both folders have the same numbers. A file that was
// released is never edited.
package migrations

import "embed"

// Postgres holds postgres/*.sql.
//
//go:embed postgres/*.sql
var Postgres embed.FS

// SQLite holds sqlite/*.sql.
//
//go:embed sqlite/*.sql
var SQLite embed.FS
