// Package livechat is the desk LiveChat (https://www.livechat.com), through version
// 3.6 of its chat interfaces and its webhooks.
//
// # EXTERNAL_TO_DESK: we are the customer
//
// Users stay on the Agent's channel, Operators answer in LiveChat. Each User is a
// customer of LiveChat, made with nothing but the organization id and the client id
// of an app ("cookie grant"):
//
//	POST {accounts}/v2/customer/token                 a customer's token, for its cookies
//	GET  {api}/customer/action/get_dynamic_configuration  verifying
//	POST {api}/customer/action/…
//	     update_customer, list_chats, list_group_statuses
//	     start_chat, resume_chat                      a handoff, with its first events
//	     upload_file, send_event                      a message of the User
//	     mark_events_as_seen, deactivate_chat         read; the end on our side
//	     get_chat                                     reading back
//
// # One chat, many threads
//
// A customer has one chat for life, and each handoff is a thread of it. Every webhook
// that matters names both, so a session is "chat/thread", and nothing about an old
// thread can reach a new handoff. What is sent to a chat, however, arrives in its
// newest thread. Therefore the memory notes in which thread a customer is used, and a
// session of another thread is gone. A User who has several sessions at a time is as
// many customers.
//
// # Memory
//
// The cookies are the customer's credentials: without them the chat is lost. They are
// kept with the token and the current thread under a hash of account, Agent, channel
// and User.
// Every change is a compare-and-set on one record, so replicas cannot take the same
// customer for two handoffs. A new token is asked for by one request at a time.
//
// # Repeats
//
// LiveChat drops no repeats, but every event carries an id of ours: the delivery's,
// and a number. Reading the thread tells exactly what has arrived.
//
// # Back to us
//
// The only proof of a webhook is the secret key in its body. Where the connection has
// none, the webhook is a hint and the thread is read. Of all chats of the account only
// those are read that the memory knows.
//
// # DESK_TO_DESK: we are an agent
//
// Users write in LiveChat's own messenger, and the Agent has the seat of a LiveChat
// agent, with a personal access token:
//
//	POST {api}/configuration/action/list_groups, {api}/agent/action/list_routing_statuses   verifying
//	POST {api}/agent/action/…
//	     upload_file, send_event     what the Agent says; the context, for agents only
//	     transfer_chat               to the group of people, and back to the seat
//	     get_chat                    who is in the chat; reading back
//
// It acts in chats only where its seat is, and LiveChat lets it speak only there.
package livechat
