package handoff

import (
	"context"
)

// KeepWaiting is the User's answer to "end, or keep waiting?".
func (s *Service) KeepWaiting(ctx context.Context, conversationID string) (Handoff, error) {
	return s.input(ctx, conversationID, KeptWaiting)
}

// Cancel is the User's withdrawal of the request before anybody answered.
func (s *Service) Cancel(ctx context.Context, conversationID string) (Handoff, error) {
	return s.input(ctx, conversationID, UserCancelled)
}

// EndByUser ends the open Handoff of a Conversation for the User.
func (s *Service) EndByUser(ctx context.Context, conversationID string) (Handoff, error) {
	return s.input(ctx, conversationID, UserEnded)
}

// EndByAdmin ends the open Handoff of a Conversation for the Agent's owner or an administrator.
func (s *Service) EndByAdmin(ctx context.Context, conversationID string) (Handoff, error) {
	return s.input(ctx, conversationID, AdminEnded)
}

// input applies an input to the open Handoff. Ending what has already ended is
// not an error: the newest Handoff of the Conversation is given back as it is.
func (s *Service) input(ctx context.Context, conversationID string, on Input) (Handoff, error) {
	done, err := s.change(ctx, conversationID, "", func(t *turn) error {
		if t.handoff == nil {
			_, err := Next(StateClosed, on)
			return err
		}
		return t.apply(on)
	})
	if err != nil {
		return Handoff{}, err
	}
	if done.Handoff != nil {
		return *done.Handoff, nil
	}
	list, err := s.store.Handoffs(ctx, HandoffFilter{ConversationID: conversationID}, Page{First: 1})
	if err != nil {
		return Handoff{}, err
	}
	if len(list.Items) == 0 {
		return Handoff{}, closedFault()
	}
	return list.Items[0], nil
}

// endAll ends every open Handoff of an Agent or a connection.
func (s *Service) endAll(ctx context.Context, agentID, connectionID string, on Input) error {
	for {
		ids, err := s.store.OpenHandoffIDs(ctx, agentID, connectionID, MaxPageSize)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			h, err := s.store.Handoff(ctx, id)
			if err != nil {
				return err
			}
			if _, err := s.change(ctx, h.ConversationID, "", func(t *turn) error {
				if t.handoff == nil || t.handoff.ID != id {
					return nil
				}
				return t.apply(on)
			}); err != nil {
				return err
			}
		}
	}
}

// Handoff reads one.
func (s *Service) Handoff(ctx context.Context, id string) (Handoff, error) {
	return s.store.Handoff(ctx, id)
}

// Handoffs lists them for a console, newest request first.
func (s *Service) Handoffs(ctx context.Context, f HandoffFilter, p Page) (List[Handoff], error) {
	return s.store.Handoffs(ctx, f, p)
}

// OpenHandoffs counts the open ones by state.
func (s *Service) OpenHandoffs(ctx context.Context) (map[State]int64, error) {
	return s.store.CountOpenHandoffs(ctx)
}
