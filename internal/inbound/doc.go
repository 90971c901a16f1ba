// Package inbound holds the REST endpoints that desks call: the message receiving
// address of every DeskConnection, and the two addresses of GPTBots' human-handoff
// API, kept exactly so that an existing webhook server works after changing the
// host only.
//
// A request is read once, with a limit, and authenticated over those bytes before
// anything is parsed. It is answered when its effect is committed, so a desk that
// repeats a request after a lost answer finds it done.
package inbound
