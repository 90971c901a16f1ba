package apptest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Agent is an Agent of one test, with those who act for it.
type Agent struct {
	*Service
	t       testing.TB
	ID      string
	KeyID   string
	Admin   *Client
	Runtime *Client // calls with the Agent's key, as its webhook desk does
	Desk    *Desk   // nil = another one

	Connection Connection // the newest
}

// Connection is what tests look at of a desk connection.
type Connection struct {
	ID, Status, LastError, LastErrorCode string
	Active                               bool
	Fields                               []struct{ Name, Value string }
	SecretsSet                           []string
}

const connectionFields = `id status lastError lastErrorCode active fields { name value } secretsSet`

// NewAgent makes an Agent with a key. Handoff is switched off.
func (s *Service) NewAgent(t testing.TB) *Agent {
	t.Helper()
	a := &Agent{Service: s, t: t, Admin: s.Administrator(t)}
	var made struct {
		CreateAgent struct{ Agent struct{ ID string } }
	}
	a.Admin.Do(`mutation($name: String!) { createAgent(input: {name: $name}) { agent { id } } }`, Vars{"name": "Shop"}, &made)
	a.ID = made.CreateAgent.Agent.ID
	a.Runtime = a.NewKey()
	return a
}

// NewKey makes a key of the Agent.
func (a *Agent) NewKey() *Client {
	a.t.Helper()
	var key struct {
		CreateAgentKey struct {
			Key      string
			AgentKey struct{ ID string }
		}
	}
	a.Admin.Do(`mutation($id: ID!) { createAgentKey(input: {agentId: $id, name: "runtime"}) { key agentKey { id } } }`,
		Vars{"id": a.ID}, &key)
	a.KeyID = key.CreateAgentKey.AgentKey.ID
	return a.As(a.t, key.CreateAgentKey.Key)
}

// Key is the Agent's key.
func (a *Agent) Key() string { return a.Runtime.Token }

// Connect connects a desk of some kind.
func (a *Agent) Connect(kind string, fields map[string]string) Connection {
	a.t.Helper()
	list := []Vars{}
	for name, value := range fields {
		list = append(list, Vars{"name": name, "value": value})
	}
	var connected struct {
		ConnectDesk struct{ DeskConnection Connection }
	}
	a.Runtime.Do(`mutation($input: ConnectDeskInput!) { connectDesk(input: $input) { deskConnection { `+connectionFields+` } } }`,
		Vars{"input": Vars{"agentId": a.ID, "kind": kind, "fields": list}}, &connected)
	a.Connection = connected.ConnectDesk.DeskConnection
	return a.Connection
}

// WithWebhook connects a webhook desk, which must be there, and switches handoff
// on. More fields of the form may follow as name, value, name, value.
func (a *Agent) WithWebhook(d *Desk, more ...string) *Agent {
	a.t.Helper()
	fields := map[string]string{"url": d.URL}
	for i := 0; i < len(more); i += 2 {
		fields[more[i]] = more[i+1]
	}
	a.Desk = d
	c := a.Connect("webhook", fields)
	require.Equal(a.t, "AVAILABLE", c.Status, c.LastError)
	return a.Set(Vars{"enabled": true})
}

// WithBuiltin connects the built-in desk and switches handoff on.
func (a *Agent) WithBuiltin() *Agent {
	a.t.Helper()
	a.Connect("builtin", nil)
	return a.Set(Vars{"enabled": true})
}

// Set changes settings of the Agent.
func (a *Agent) Set(settings Vars) *Agent {
	a.t.Helper()
	a.Runtime.Do(`mutation($input: UpdateHandoffSettingsInput!) { updateHandoffSettings(input: $input) { settings { enabled } } }`,
		Vars{"input": settings.with(Vars{"agentId": a.ID})}, nil)
	return a
}

// Reread reads the newest connection again.
func (a *Agent) Reread() Connection {
	a.t.Helper()
	var read struct{ DeskConnection Connection }
	a.Runtime.Do(`query($id: ID!) { deskConnection(id: $id) { `+connectionFields+` } }`, Vars{"id": a.Connection.ID}, &read)
	return read.DeskConnection
}

// Status is the Agent's service status, and whether a handoff could begin.
func (a *Agent) Status() (status string, ready bool) {
	a.t.Helper()
	var read struct {
		Agent struct {
			ServiceStatus string
			Ready         bool
		}
	}
	a.Runtime.Do(`query($id: ID!) { agent(id: $id) { serviceStatus ready } }`, Vars{"id": a.ID}, &read)
	return read.Agent.ServiceStatus, read.Agent.Ready
}

// Delivery is what tests look at of a delivery.
type Delivery struct {
	ID, Kind, Status, HandoffID  string
	LastError, LastErrorCode     string
	MessageSeq, Attempts         int64
	ConversationID, ConnectionID string
}

// Deliveries lists those of the Agent that have not arrived; status "" = all.
func (a *Agent) Deliveries(status string) []Delivery {
	a.t.Helper()
	filter := Vars{}
	if status != "" {
		filter["status"] = status
	}
	var read struct {
		Agent struct {
			Deliveries struct{ Nodes []Delivery }
		}
	}
	a.Runtime.Do(`query($id: ID!, $filter: DeliveryFilter) { agent(id: $id) { deliveries(first: 50, filter: $filter) {
		nodes { id kind status handoffId conversationId messageSeq attempts lastError lastErrorCode } } } }`,
		Vars{"id": a.ID, "filter": filter}, &read)
	return read.Agent.Deliveries.Nodes
}
