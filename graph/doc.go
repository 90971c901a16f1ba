// Package graph is the GraphQL API: the schema's generated code, thin resolvers,
// and what stands between them and the business.
//
// A resolver checks whose the thing is (access.go), calls [handoff.Service], and
// puts the answer into the types of the API (convert_*.go). Along with an error it
// may give a payload made of nothing: gqlgen looks at the error first.
//
// Errors leave through one presenter (errors.go). What an operation may cost is
// decided by the prices in complexity.go. The transports are in package transport.
package graph

//go:generate go tool gqlgen generate
