package relay

import (
	"context"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// say brings what the Agent, or a standard text, says to the User in a desk's
// messenger. Where an Operator has taken the word meanwhile it comes too late and is
// withheld. That is looked at just before the call, so what remains is the moment
// in which the desk has the Operator's message and we do not.
func (w *work) say(ctx, attempt context.Context, target desk.Desk, description *handoff.DeskDescription) (verdict, error) {
	conversation, err := w.Store.Conversation(ctx, w.d.ConversationID)
	if err != nil {
		return release, err
	}
	speaker, ok := desk.As[desk.Speaker](target)
	if !ok {
		return w.record(ctx, fault.New(fault.Unsupported, "the desk cannot speak in its messenger"))
	}
	e := &w.message
	if description.LeavesOnOpen && e.Author == handoff.AuthorSystem && e.HandoffID != "" && e.HandoffID == conversation.OpenHandoffID {
		return w.drop(ctx) // the desk tells the User in its own words
	}
	request := desk.SayRequest{
		Attempt: desk.Attempt{DeliveryID: w.d.ID, Repeat: w.repeat, At: e.At},
		Ref:     conversation.DeskRef,
		Author:  e.Author,
		Text:    desk.Text{Body: e.Text, Attachments: e.Attachments, At: e.At},
	}
	if reconciler, ok := desk.As[desk.SpeakerReconciler](target); ok && w.repeat {
		_, found, err := reconciler.FindSaid(attempt, request)
		if err != nil {
			return w.record(ctx, err)
		}
		if found {
			return w.done(ctx, "ok")
		}
	}
	if e.Seq < conversation.HumanSeq {
		return w.notSaid(ctx, "dropped", w.finish())
	}
	if _, err := speaker.Say(attempt, request); err != nil {
		return w.record(ctx, err)
	}
	return w.done(ctx, "ok")
}

// notSaid ends the delivery and says in the log that it did not arrive.
func (w *work) notSaid(ctx context.Context, result string, finish handoff.FinishDelivery) (verdict, error) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	err := w.Business.NotSaid(ctx, w.d, finish)
	if err == nil {
		w.count(result)
	}
	return goOn, err
}
