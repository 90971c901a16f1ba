// Package webhook is the desk that a developer builds: three endpoints below a
// base URL of theirs, and two calls back to this service. It speaks the public
// contract of the GPTBots human handoff ("Manual Service") webhook in its newest
// version, so that a server written for GPTBots works here after changing only
// the host.
//
// # From us to the developer's server
//
//	POST {base}/conversation/establish   a handoff is requested, with the last rounds
//	POST {base}/chat                     a message of the User
//	POST {base}/conversation/close       the session ended on our side
//
// The body is JSON. HTTP Basic authentication is sent when a user name or a
// password is configured. Success is HTTP 200 with no code in the body, or with
// code 0 or 200; the documentation leaves open which of the two counts, so both
// must agree. Redirects are not followed.
//
// # Repeats
//
// The contract has no delivery id, and an attempt whose outcome is unknown is
// repeated with the same bytes. A receiver that remembers (conversation_id,
// timestamp, body) can therefore drop repeats: the timestamp is the time of what
// happened, not of the attempt.
//
// # Back to us
//
//	POST /v1/human/message/receive       a message of the Operator
//	POST /v1/human/close                 the Operator ends
//
// Both are authenticated by the Agent's key before they come here. Beyond the
// contract, a message may carry agent_name, message_id and files.
//
// # What can be switched on
//
// A signing secret adds the headers of Standard Webhooks 1.0.0
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
// to every request: webhook-id, the same in every repeat, webhook-timestamp and
// webhook-signature. Extended fields add what the contract has no place for; see
// the comments in wire.go. Without either, no header and no field is sent that
// the contract does not have.
//
// # Known limits
//
// The check of a connection cannot prove that the three endpoints work: calling
// one would open a session. It shows that something answers at the base URL and
// does not refuse the credentials there.
package webhook
