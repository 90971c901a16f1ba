// Package testschema is a small generated schema for the transports' own tests:
// a query, a mutation and subscriptions that a test can drive, end, fail and
// make panic.
package testschema

//go:generate go tool gqlgen generate
