package handoff

import "context"

// Reachable fails with NotFound when the Agent was deleted: what belonged to it
// can no longer be reached. It rarely costs a query; a deletion on another replica
// is noticed within two seconds.
func (s *Service) Reachable(ctx context.Context, agentID string) error {
	_, err := s.agent(ctx, agentID)
	return err
}
