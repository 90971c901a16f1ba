// Package relay is the worker side: it brings deliveries to the desks in order,
// fires deadlines when they come, and asks desks for what did not reach us.
//
// # Deliveries
//
// A delivery waits in a lane, one lane per Handoff. A worker leases a lane,
// delivers its head, records the outcome, goes on with the next, and releases the
// lane when it is empty. Within a lane nothing overtakes; lanes do not wait for
// each other. A worker that dies leaves its lease behind: whoever takes the lane
// over then knows that the head may have been delivered and treats it as a repeat.
//
// Whatever an outcome means for the Handoff (accepted, refused, lost) is
// committed together with the end of the delivery, so a crash cannot separate them.
//
// # Deadlines
//
// A deadline is a column of its Handoff. One loop sleeps until the earliest,
// another replica may fire it at the same moment, and the decision under the
// Conversation's lock lets exactly one win.
//
// # Catching up
//
// The requests of some desks can get lost. Their open sessions are looked at once
// in the interval that the desk declares, by whichever replica claims them, and what
// is found is taken like a request of the desk, which drops what was known. It is
// shown in the order in which it reaches us: a message whose request was lost comes
// after later ones whose requests arrived.
package relay
