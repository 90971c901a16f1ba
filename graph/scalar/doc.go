// Package scalar reads and writes the leaf values of the GraphQL API.
//
// Reading is strict: a value of another form is an InvalidInput fault that says
// what the form is. The fault names no field, since a scalar does not know where
// it stands; the error presenter fills it in from the path.
package scalar
