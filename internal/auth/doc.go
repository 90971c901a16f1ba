// Package auth knows who calls: it reads the Authorization header and tells
// what kind of caller it proves.
//
// Three kinds of credentials come as Bearer token (RFC 6750):
//
//   - the administrator token, one per installation;
//   - an Agent key, "hk_" and 32 random characters, for the runtime of one Agent;
//   - a User token, a JWT that an Agent key had minted for one Conversation.
//
// The package decides who the caller is, not what it may do. Everything that is
// not a valid credential gets the same answer, [fault.Unauthenticated] with one
// fixed text; only the cause, which is for logs, tells more.
package auth
