package handoff

import (
	"context"

	"handoff/internal/fault"
)

// CreateAgent makes an Agent with default settings, handoff switched off.
func (s *Service) CreateAgent(ctx context.Context, name, idempotencyKey string) (Agent, error) {
	name, err := validName("name", name)
	if err != nil {
		return Agent{}, err
	}
	once, made, err := s.once(ctx, "createAgent", idempotencyKey)
	if err != nil {
		return Agent{}, err
	}
	if made != "" {
		return s.store.Agent(ctx, made)
	}
	now := s.now()
	a := Agent{ID: NewID(AgentPrefix), Name: name, Settings: DefaultSettings(s.defaultTimeZone), CreatedAt: now, UpdatedAt: now}
	if once != nil {
		once.Result = a.ID
	}
	return s.store.CreateAgent(ctx, a, once)
}

// Agent reads one.
func (s *Service) Agent(ctx context.Context, id string) (Agent, error) { return s.store.Agent(ctx, id) }

// Agents lists them, newest first.
func (s *Service) Agents(ctx context.Context, p Page) (List[Agent], error) {
	return s.store.Agents(ctx, p)
}

// RenameAgent changes the name.
func (s *Service) RenameAgent(ctx context.Context, id, name string) (Agent, error) {
	name, err := validName("name", name)
	if err != nil {
		return Agent{}, err
	}
	return s.updateAgent(ctx, id, func(a *Agent) error {
		a.Name = name
		return nil
	})
}

// DeleteAgent ends every open Handoff, then hides the Agent with all that is its own.
func (s *Service) DeleteAgent(ctx context.Context, id string) error {
	if _, err := s.store.Agent(ctx, id); err != nil {
		return err
	}
	// Switched off first, so that no new Handoff begins while the open ones end.
	if _, err := s.updateAgent(ctx, id, func(a *Agent) error {
		a.Settings.Enabled = false
		return nil
	}); err != nil {
		return err
	}
	if err := s.endAll(ctx, id, "", AdminEnded); err != nil {
		return err
	}
	connections, err := s.store.Connections(ctx, id)
	if err != nil {
		return err
	}
	s.drain(ctx, DeliveryFilter{AgentID: id})
	if err := s.store.DeleteAgent(ctx, id, s.now()); err != nil {
		return err
	}
	for _, c := range connections {
		s.desks.Forget(c.ID)
	}
	s.forgetAgent(id)
	return nil
}

// UpdateSettings changes the settings of an Agent. change modifies a copy; the
// result is validated as a whole. Switching handoff off ends every open Handoff.
func (s *Service) UpdateSettings(ctx context.Context, agentID string, change func(*Settings) error) (Agent, error) {
	connections, err := s.store.Connections(ctx, agentID)
	if err != nil {
		return Agent{}, err
	}
	var disabled bool
	agent, err := s.updateAgent(ctx, agentID, func(a *Agent) error {
		was := a.Settings.Enabled
		if err := change(&a.Settings); err != nil {
			return err
		}
		if err := a.Settings.Validate(); err != nil {
			return err
		}
		if a.Settings.Enabled && !was && !anyActive(connections) {
			return fault.Invalid("enabled", "needs a desk: connect one and make it active first")
		}
		// Also when it was switched off before: that may have failed halfway.
		disabled = !a.Settings.Enabled
		return nil
	})
	if err != nil {
		return Agent{}, err
	}
	if disabled {
		if err := s.endAll(ctx, agentID, "", Disabled); err != nil {
			return Agent{}, err
		}
	}
	return agent, nil
}

func anyActive(connections []Connection) bool {
	for _, c := range connections {
		if c.Active && c.Status != StatusNotConfigured {
			return true
		}
	}
	return false
}

func (s *Service) updateAgent(ctx context.Context, id string, change func(*Agent) error) (Agent, error) {
	agent, err := s.store.UpdateAgent(ctx, id, s.now(), change)
	if err != nil {
		return Agent{}, err
	}
	s.remember(agent)
	return agent, nil
}

// CreateKey stores a new key of an Agent. The caller made the key and its hash;
// see package auth.
func (s *Service) CreateKey(ctx context.Context, agentID, name, hint, hash string) (AgentKey, error) {
	name, err := validName("name", name)
	if err != nil {
		return AgentKey{}, err
	}
	if _, err := s.store.Agent(ctx, agentID); err != nil {
		return AgentKey{}, err
	}
	k := AgentKey{ID: NewID(KeyPrefix), AgentID: agentID, Name: name, Hint: hint, Hash: hash, CreatedAt: s.now()}
	return k, s.store.CreateKey(ctx, k)
}

// Keys lists the keys of an Agent, revoked ones too.
func (s *Service) Keys(ctx context.Context, agentID string) ([]AgentKey, error) {
	return s.store.Keys(ctx, agentID)
}

// RevokeKey ends a key at once. Revoking it again changes nothing.
func (s *Service) RevokeKey(ctx context.Context, agentID, keyID string) (AgentKey, error) {
	return s.store.RevokeKey(ctx, agentID, keyID, s.now())
}
