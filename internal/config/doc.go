// Package config reads the service's configuration from environment variables.
//
// [Config] is the one place that states every variable with its default, its
// allowed values and its meaning, as struct tags beside the field. [Load] fills
// and checks it, [Reference] renders the same tags as the table of the manual.
//
// Rules:
//   - An empty value means the default, as if the variable were not set.
//     Spaces around a value are ignored.
//   - All mistakes are reported at once, each by the name of its variable with
//     what is allowed. Values of secrets are never repeated in an error.
//   - A variable NAME of type [Secret] may instead be given as NAME_FILE, the
//     path of a file that holds the value, as Docker and Kubernetes mount them.
//   - An unknown HANDOFF_ variable is a mistake, because it is most likely a
//     misspelt one. Two groups are left alone: HANDOFF_TEST_ (used by the test
//     suite), and the variables that Kubernetes adds to every container for a
//     Service whose name begins with "handoff".
package config
