// Package intercom is the desk Intercom (https://www.intercom.com), through its
// REST API 2.15 and its webhooks. Operators answer in Intercom's inbox. Users stay on
// the Agent's channel, or write in Intercom's messenger (DESK_TO_DESK), where the
// Agent is a teammate: see [messengerDesk].
//
// # From us to Intercom
//
//	GET  /me                        who the access token is; the region; verifying
//	POST /contacts/search, /contacts, /contacts/{id}/unarchive, PUT /contacts/{id}
//	                                the contact that stands for the User
//	POST /conversations             a handoff: the newest question, from the contact
//	POST /conversations/{id}/reply  a message of the User or the Agent; the context, as a note
//	POST /conversations/{id}/parts  the session ended on our side; assignments
//	GET  /admins, /teams            in DESK_TO_DESK, whether those of the form exist
//	GET  /conversations/{id}, POST /conversations/search
//	                                what an unknown outcome left; what happened
//
// The session's id is the conversation_id that creating it answers. The context
// goes into notes, which only Operators see; where notes are refused, the contact
// says it as plain text. Each carries a marker with the Handoff's id, by which a
// repeated opening recognises its own conversation and adds only what is missing.
//
// # Repeats
//
// Intercom documents no idempotency key, so an attempt whose outcome is unknown is
// read back. A message counts as arrived when the newest parts of the contact say
// the same and are not older than the message. Only of equal messages directly
// after one another can one be taken for the other.
//
// # Back to us
//
// Intercom calls the message receiving address with the topics
// conversation.admin.*, in DESK_TO_DESK also conversation.user.*. With a client
// secret the signature over the exact bytes decides whether it was Intercom. Either
// way a webhook is only the news that something happened: what, is read by the API,
// in the order in which it was made and with whatever other webhooks did not bring.
// So webhooks may be repeated, come in any order, or get lost. Where Intercom does
// not answer for three seconds, a signed webhook is believed by itself. Open sessions
// are also looked at without any webhook.
//
// Only what human teammates said in public, and in DESK_TO_DESK what contacts wrote,
// becomes an event, identified by the id of its part, so that the same part is one
// event however often it is met.
//
// # Memory
//
// Who the token is, and which contact a conversation has, are facts of Intercom
// that every replica finds out for itself and keeps.
package intercom
