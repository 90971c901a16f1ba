package handoff

import (
	"context"

	"handoff/internal/fault"
)

// ProvideEmail answers the e-mail question. Unlike [Service.SetEmail] it stores
// nothing, and fails with NotAllowedInState, when no open Handoff asks for an address.
func (s *Service) ProvideEmail(ctx context.Context, conversationID, address string) (Handoff, error) {
	address, err := ParseEmail("email", address)
	if err != nil {
		return Handoff{}, err
	}
	done, err := s.change(ctx, conversationID, "", func(t *turn) error {
		if t.handoff == nil {
			return closedFault()
		}
		if t.handoff.State != StateCollectingEmail {
			return &fault.Fault{Kind: fault.NotAllowedInState, State: string(t.handoff.State), Public: "no e-mail address is being asked for"}
		}
		t.conv.User.Email, t.touched = address, true
		t.handoff.Email = address
		return t.apply(EmailSettled)
	})
	if err != nil {
		return Handoff{}, err
	}
	return *done.Handoff, nil
}
