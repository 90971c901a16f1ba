package relay

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// verdict says what to do with the lane after an attempt was recorded.
type verdict int

const (
	goOn    verdict = iota // the head is done; the lane is still ours
	release                // the lane was given back, or is no longer ours
)

// runLane delivers a leased lane until it is empty, must wait, or the relay stops.
// ctx bounds the attempts; claims ends earlier, when nothing new may begin. next is
// the head, nil where it is not known yet.
func (r *Relay) runLane(ctx, claims context.Context, lease handoff.Lease, next *handoff.Delivery) {
	repeat := lease.Abandoned
	for {
		if claims.Err() != nil {
			r.giveBack(ctx, lease)
			return
		}
		if lease.Until.Sub(r.Now()) < r.Attempt+r.Lease/4 {
			until := r.Now().Add(r.Lease)
			held, err := r.Store.RenewLease(ctx, lease, until)
			if err != nil || !held {
				return // somebody else has it, or will after the lease
			}
			lease.Until = until
		}
		if next == nil {
			d, ok, err := r.Store.Head(ctx, lease.Lane)
			if err != nil {
				r.giveBack(ctx, lease)
				r.Log.WarnContext(ctx, "reading a delivery failed", "error", err)
				return
			}
			if !ok {
				r.giveBack(ctx, lease)
				ring(r.Bell.deliver) // for what was queued, and rang, while the lane was still ours
				return
			}
			next = &d
		}
		d := *next
		w := &work{Relay: r, d: d, lease: lease, repeat: repeat || d.Attempts > 0}
		then, err := w.deliver(ctx)
		if fault.Is(err, fault.NotFound) {
			then, err = w.drop(ctx) // the Agent was deleted: nobody is left to learn of the outcome
		}
		if err != nil {
			// The outcome could not be recorded. The lease stays, so that whoever takes the
			// lane next knows that the head may have been delivered.
			if ctx.Err() == nil && !fault.Is(err, fault.Conflict) {
				r.Log.ErrorContext(ctx, "recording a delivery failed", "delivery_id", d.ID, "handoff_id", d.HandoffID, "error", err)
			}
			return
		}
		if then == release {
			return
		}
		next, repeat = w.next, false
	}
}

// giveBack releases the lane even while the relay is stopping.
func (r *Relay) giveBack(ctx context.Context, lease handoff.Lease) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	if err := r.Store.ReleaseLane(ctx, lease.Lane, lease.Owner, r.Now()); err != nil {
		r.Log.WarnContext(ctx, "giving a lane back failed; it is free when its lease ends", "error", err)
	}
}

// recordTimeout bounds the commit that records an outcome, which must happen even
// when the attempt was cancelled.
const recordTimeout = 10 * time.Second

func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
}

// work is one attempt at one delivery.
type work struct {
	*Relay
	d      handoff.Delivery
	lease  handoff.Lease
	repeat bool // an earlier attempt may have arrived

	kind   string // of the desk, for metrics
	policy handoff.RetryPolicy

	h          handoff.Handoff     // but with SAY
	connection *handoff.Connection // nil = it was removed
	message    handoff.Event       // with MESSAGE and SAY

	next *handoff.Delivery // of the lane, where finishing this one told it
}

func (w *work) finish() handoff.FinishDelivery {
	return handoff.FinishDelivery{Lane: w.d.Lane, LaneSeq: w.d.LaneSeq, Owner: w.lease.Owner}
}

func (w *work) count(result string) {
	w.Observer.Delivered(w.kind, w.d.Kind, result, w.Now().Sub(w.d.CreatedAt))
}

// deliver makes the attempt and records its outcome.
func (w *work) deliver(ctx context.Context) (verdict, error) {
	if err := w.read(ctx); err != nil {
		return release, err
	}
	if w.connection == nil {
		return w.withoutDesk(ctx)
	}
	description, _ := w.Desks.Describe(w.connection.Kind)
	w.policy = description.RetryFor(w.d.Kind)

	target, err := w.Desks.For(ctx, *w.connection)
	if err != nil {
		return w.record(ctx, err)
	}
	attempt, cancel := context.WithTimeout(ctx, w.Attempt)
	defer cancel()
	switch w.d.Kind {
	case handoff.DeliverOpen:
		return w.open(ctx, attempt, target, &description)
	case handoff.DeliverMessage:
		return w.send(ctx, attempt, target)
	case handoff.DeliverClose:
		return w.close(ctx, attempt, target)
	case handoff.DeliverSay:
		return w.say(ctx, attempt, target, &description)
	}
	return w.drop(ctx)
}

// read gets what the attempt needs, side by side: each query waits for the
// database, and the message for all of them.
func (w *work) read(ctx context.Context) error {
	var (
		group                           sync.WaitGroup
		noHandoff, noConnection, noText error
	)
	if w.d.Kind != handoff.DeliverSay {
		group.Go(func() { w.h, noHandoff = w.Store.Handoff(ctx, w.d.HandoffID) })
	}
	if w.d.Kind == handoff.DeliverMessage || w.d.Kind == handoff.DeliverSay {
		group.Go(func() { w.message, noText = w.Store.Event(ctx, w.d.ConversationID, w.d.EventSeq) })
	}
	connection, noConnection := w.Store.Connection(ctx, w.d.ConnectionID)
	group.Wait()
	w.kind = w.h.DeskKind
	if noConnection == nil {
		w.connection, w.kind = &connection, connection.Kind
	} else if fault.Is(noConnection, fault.NotFound) {
		noConnection = nil
	}
	return cmp.Or(noHandoff, noConnection, noText)
}

// withoutDesk ends a delivery whose connection was removed: nobody is left to tell.
// A request that was not yet accepted has failed by that.
func (w *work) withoutDesk(ctx context.Context) (verdict, error) {
	if w.d.Kind == handoff.DeliverSay {
		return w.notSaid(ctx, "dropped", w.finish())
	}
	if w.d.Kind != handoff.DeliverOpen || !w.h.Open() {
		return w.drop(ctx)
	}
	w.count("refused")
	ctx, cancel := afterwards(ctx)
	defer cancel()
	return goOn, w.Business.DeskRefused(ctx, w.d, w.finish(), false)
}

func (w *work) open(ctx, attempt context.Context, target desk.Desk, description *handoff.DeskDescription) (verdict, error) {
	switch {
	case !w.h.Open() && !w.repeat:
		// Ended before the desk heard of it: there is nothing to open or to close.
		w.count("dropped")
		record, cancel := afterwards(ctx)
		defer cancel()
		return goOn, w.Store.DropDeliveries(record, handoff.Drop{Lane: w.d.Lane, HandoffID: w.h.ID}, w.lease.Owner)
	case !w.h.Open():
		return w.drop(ctx) // perhaps opened; "close" follows in the lane
	case !w.h.AcceptedAt.IsZero():
		return w.accepted(ctx, w.h.DeskRef) // an Operator has written: it was opened
	}
	request, err := w.openRequest(ctx, description)
	if err != nil {
		return release, err
	}
	if reconciler, ok := desk.As[desk.Reconciler](target); ok && w.repeat {
		opened, found, err := reconciler.FindOpened(attempt, request)
		if err != nil {
			return w.record(ctx, err)
		}
		if found {
			return w.accepted(ctx, opened.Ref)
		}
	}
	opened, err := target.Open(attempt, request)
	if err == nil {
		return w.accepted(ctx, opened.Ref)
	}
	if opened.Ref != "" {
		// First: an outcome that is recorded must know what it left behind.
		if err := w.began(ctx, opened.Ref); err != nil {
			return release, err
		}
	}
	return w.record(ctx, err)
}

func (w *work) began(ctx context.Context, ref string) error {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	return w.Business.DeskBegan(ctx, w.d, ref)
}

func (w *work) accepted(ctx context.Context, ref string) (verdict, error) {
	w.count("ok")
	ctx, cancel := afterwards(ctx)
	defer cancel()
	return goOn, w.Business.DeskAccepted(ctx, w.d, w.finish(), ref)
}

// contextMessages bounds how many messages are read to find the last rounds.
const contextMessages = 500

func (w *work) openRequest(ctx context.Context, description *handoff.DeskDescription) (desk.OpenRequest, error) {
	conversation, err := w.Store.Conversation(ctx, w.h.ConversationID)
	if err != nil {
		return desk.OpenRequest{}, err
	}
	agent, err := w.Store.Agent(ctx, w.h.AgentID)
	if err != nil {
		return desk.OpenRequest{}, err
	}
	messages, err := w.Store.MessagesBefore(ctx, w.h.ConversationID, w.h.RequestSeq, min(20+10*w.h.ContextRounds, contextMessages))
	if err != nil {
		return desk.OpenRequest{}, err
	}
	slices.Reverse(messages)
	rounds, newest := desk.BuildContext(messages, w.h.ContextRounds)
	if !description.History {
		rounds, newest.Answer = nil, desk.Text{}
	}
	user := conversation.User
	user.Email = w.h.Email
	if user.Email == "" {
		user.Email = agent.Settings.FallbackEmail
	}
	begun := ""
	if w.h.DeskBegun {
		begun = w.h.DeskRef
	}
	return desk.OpenRequest{
		Attempt:   desk.Attempt{DeliveryID: w.d.ID, Repeat: w.repeat, At: w.h.RequestedAt},
		HandoffID: w.h.ID, AgentID: w.h.AgentID, ProposedRef: w.h.DeskRef, Begun: begun,
		Channel: conversation.Channel, User: user, EmailGiven: w.h.Email != "",
		Language: conversation.Language, CustomFields: conversation.CustomFields,
		Note: w.h.Note, Summary: w.h.Summary, Rounds: rounds, Question: newest.Question, Answer: newest.Answer,
	}, nil
}

func (w *work) send(ctx, attempt context.Context, target desk.Desk) (verdict, error) {
	e := &w.message
	request := desk.SendRequest{
		Attempt: desk.Attempt{DeliveryID: w.d.ID, Repeat: w.repeat, At: e.At},
		Ref:     w.h.DeskRef,
		Text:    desk.Text{Body: e.Text, Attachments: e.Attachments, At: e.At},
	}
	if reconciler, ok := desk.As[desk.Reconciler](target); ok && w.repeat {
		_, found, err := reconciler.FindSent(attempt, request)
		if err != nil {
			return w.record(ctx, err)
		}
		if found {
			return w.done(ctx, "ok")
		}
	}
	if _, err := target.Send(attempt, request); err != nil {
		return w.record(ctx, err)
	}
	return w.done(ctx, "ok")
}

func (w *work) close(ctx, attempt context.Context, target desk.Desk) (verdict, error) {
	err := target.Close(attempt, desk.CloseRequest{
		Attempt: desk.Attempt{DeliveryID: w.d.ID, Repeat: w.repeat, At: w.h.ClosedAt},
		Ref:     w.h.DeskRef,
		Reason:  w.h.Reason,
	})
	if err != nil && !fault.Is(err, fault.DeskGone) {
		return w.record(ctx, err)
	}
	return w.done(ctx, "ok")
}

// drop ends a delivery that nobody wants any more.
func (w *work) drop(ctx context.Context) (verdict, error) { return w.done(ctx, "dropped") }

// done removes the delivery; the lane goes on while there is more.
func (w *work) done(ctx context.Context, result string) (verdict, error) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	then, err := w.end(ctx, w.finish())
	if err == nil {
		w.count(result)
	}
	return then, err
}

// end finishes the delivery and goes on with the next.
func (w *work) end(ctx context.Context, finish handoff.FinishDelivery) (verdict, error) {
	next, more, err := w.Store.FinishDelivery(ctx, finish, w.Now())
	if err != nil || !more {
		return release, err
	}
	w.next = &next
	return goOn, nil
}

// record decides what a failed attempt means: again later, given up, or the end
// of the session at the desk.
func (w *work) record(ctx context.Context, err error) (verdict, error) {
	f := fault.As(err)
	stopping := ctx.Err() != nil
	ctx, cancel := afterwards(ctx)
	defer cancel()

	failed := w.d
	failed.LastError, failed.LastErrorKind, failed.LastErrorAt = f.Public, f.Kind, w.Now()
	if stopping {
		if f.Sent == fault.NotSent {
			return release, w.Store.ReleaseLane(ctx, w.d.Lane, w.lease.Owner, w.Now())
		}
		failed.Attempts++ // so that the next attempt is a repeat
		return release, w.Store.PostponeDelivery(ctx, w.finish(), w.Now(), failed)
	}
	failed.Attempts++
	w.Log.DebugContext(ctx, "delivery failed", "delivery_id", w.d.ID, "handoff_id", w.d.HandoffID, "desk", w.kind,
		"kind", w.d.Kind, "attempt", failed.Attempts, "error_kind", f.Kind, "stage", f.Sent.String())

	if w.mayRepeat(f, failed.Attempts) {
		w.count("retry")
		defer ring(w.postponed)
		return release, w.Store.PostponeDelivery(ctx, w.finish(), w.Now().Add(w.backoff(f, failed.Attempts)), failed)
	}
	finish := w.finish()
	switch w.d.Kind {
	case handoff.DeliverOpen:
		w.warn(ctx, "the desk did not take the handoff", f)
		w.count("refused")
		// The lane was dropped by it, but for a "close" after an unknown outcome.
		return goOn, w.Business.DeskRefused(ctx, w.d, finish, f.Sent == fault.MaybeSent)
	case handoff.DeliverMessage:
		if f.Kind == fault.DeskGone {
			w.count("dropped")
			return goOn, w.Business.DeskHasEnded(ctx, w.d, finish)
		}
		w.warn(ctx, "a message was given up", f)
		w.count("dead")
		failed.Status = handoff.DeliveryDead
		finish.Dead = &failed
		if f.Kind == fault.DeskRejected || f.Kind == fault.Unsupported {
			return goOn, w.Business.MessageNotDelivered(ctx, w.d, finish)
		}
		return goOn, w.Business.DeskLost(ctx, w.d, finish)
	case handoff.DeliverSay:
		w.warn(ctx, "the user of a desk's messenger was not told", f)
		failed.Status = handoff.DeliveryDead
		finish.Dead = &failed
		return w.notSaid(ctx, "dead", finish)
	case handoff.DeliverClose:
	}
	w.warn(ctx, "the desk was not told of the end", f)
	w.count("dead")
	failed.Status = handoff.DeliveryDead
	finish.Dead = &failed
	return w.end(ctx, finish)
}

func (w *work) warn(ctx context.Context, what string, f *fault.Fault) {
	w.Log.WarnContext(ctx, "delivery given up", "meaning", what, "delivery_id", w.d.ID, "handoff_id", w.d.HandoffID, "connection_id", w.d.ConnectionID,
		"desk", w.kind, "kind", w.d.Kind, "error_kind", f.Kind, "stage", f.Sent.String(), "error", f.Error())
}

func (w *work) mayRepeat(f *fault.Fault, attempts int) bool {
	if attempts >= w.policy.Attempts || !f.Retryable() {
		return false
	}
	return !w.policy.OnlyUnsent || f.Sent == fault.NotSent
}

// backoff triples the wait with every attempt, within the policy, with jitter so
// that the lanes of a desk that comes back do not all start at once; a wish of
// the desk goes first.
func (w *work) backoff(f *fault.Fault, attempts int) time.Duration {
	wait := w.policy.Base
	for range attempts - 1 {
		if wait *= 3; wait >= w.policy.Max {
			wait = w.policy.Max
			break
		}
	}
	wait += time.Duration(rand.Int64N(int64(wait)/4 + 1))
	return max(wait, f.After)
}
