package apptest

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Conversation is one Conversation of a test, with its User's chat.
type Conversation struct {
	*Agent
	ID        string
	UserToken string
	User      *Client // the User's chat, with a token of its own
	Stream    *Stream // what the chat receives

	seen int64 // number of the newest event that was awaited
}

// Converse starts a Conversation and opens the User's chat. The input is that of
// startConversation; without a channel it is API, which asks for nothing.
func (a *Agent) Converse(input Vars) *Conversation {
	a.t.Helper()
	c := a.ConverseUnwatched(input)
	c.Stream = a.Subscribe(a.t, c.UserToken, c.ID, StreamOptions{})
	return c
}

// ConverseUnwatched is [Agent.Converse] without a chat: nothing can be awaited.
func (a *Agent) ConverseUnwatched(input Vars) *Conversation {
	a.t.Helper()
	c, err := a.TryConverse(input)
	require.NoError(a.t, err)
	return c
}

// TryConverse is [Agent.ConverseUnwatched] for any goroutine.
func (a *Agent) TryConverse(input Vars) (*Conversation, error) {
	var started struct {
		StartConversation struct{ Conversation struct{ ID string } }
	}
	if err := a.Runtime.Try(`mutation($input: StartConversationInput!) { startConversation(input: $input) { conversation { id } } }`,
		Vars{"input": Vars{"channel": "API"}.with(input)}, &started); err != nil {
		return nil, err
	}
	c := &Conversation{Agent: a, ID: started.StartConversation.Conversation.ID}
	token, err := c.tryUserToken(3_600)
	c.UserToken = token
	c.User = a.As(a.t, token)
	return c, err
}

func (c *Conversation) tryUserToken(seconds int) (string, error) {
	var made struct{ CreateUserToken struct{ Token string } }
	err := c.Runtime.Try(`mutation($c: ID!, $s: Int!) { createUserToken(input: {conversationId: $c, lifetimeSeconds: $s}) { token } }`,
		Vars{"c": c.ID, "s": seconds}, &made)
	return made.CreateUserToken.Token, err
}

// Through is the same Conversation by way of another replica, without a chat.
func (c *Conversation) Through(t testing.TB, s *Service) *Conversation {
	agent := *c.Agent
	agent.Service, agent.t = s, t
	agent.Admin, agent.Runtime = s.Administrator(t), s.As(t, c.Key())
	return &Conversation{Agent: &agent, ID: c.ID, UserToken: c.UserToken, User: s.As(t, c.UserToken)}
}

// NewUserToken makes another token for the User.
func (c *Conversation) NewUserToken(seconds int) string {
	c.t.Helper()
	token, err := c.tryUserToken(seconds)
	require.NoError(c.t, err)
	return token
}

// Await waits for the next event of the User's chat that fits. The next call looks
// behind it, so calls follow the order of the story.
func (c *Conversation) Await(what string, fits Match) Event {
	c.t.Helper()
	e := c.Stream.Await(c.t, c.seen, what, fits)
	c.seen = e.Seq
	return e
}

// Log reads the whole log through the API, and checks that it is [Sound].
func (c *Conversation) Log() []Event {
	c.t.Helper()
	log, err := c.TryLog()
	require.NoError(c.t, err)
	return log
}

// TryLog is [Conversation.Log] for any goroutine.
func (c *Conversation) TryLog() ([]Event, error) {
	var log []Event
	for after := int64(0); ; {
		var read struct {
			Conversation struct {
				Events struct {
					Nodes       []Event
					EndSeq      int64
					HasNextPage bool
				}
			}
		}
		if err := c.Runtime.Try(`query($c: ID!, $after: Int64!) { conversation(id: $c) { events(after: $after) {
			nodes { `+eventFields+` } endSeq hasNextPage } } }`, Vars{"c": c.ID, "after": after}, &read); err != nil {
			return nil, err
		}
		page := read.Conversation.Events
		log, after = append(log, page.Nodes...), page.EndSeq
		if !page.HasNextPage {
			return log, Sound(log)
		}
	}
}

// Posted is the answer to a message.
type Posted struct {
	Message Event
	Control string
	Epoch   int64
}

const messageFields = `message { __typename seq at author text }`

// TryUserWrites posts a message of the User with more input, such as an idempotency key.
func (c *Conversation) TryUserWrites(text string, more Vars) (Posted, error) {
	var posted struct{ PostUserMessage Posted }
	err := c.User.Try(`mutation($input: PostUserMessageInput!) { postUserMessage(input: $input) { `+messageFields+` control epoch } }`,
		Vars{"input": Vars{"conversationId": c.ID, "text": text}.with(more)}, &posted)
	return posted.PostUserMessage, err
}

// UserWrites posts a message of the User.
func (c *Conversation) UserWrites(text string) Posted {
	c.t.Helper()
	posted, err := c.TryUserWrites(text, nil)
	require.NoError(c.t, err)
	return posted
}

// TryAgentWrites posts a message of the Agent under an epoch.
func (c *Conversation) TryAgentWrites(epoch int64, text string) error {
	return c.TryAgentWritesAs(c.Runtime, epoch, text)
}

// TryAgentWritesAs is [Conversation.TryAgentWrites] with another credential.
func (c *Conversation) TryAgentWritesAs(caller *Client, epoch int64, text string) error {
	return caller.Try(`mutation($input: PostAgentMessageInput!) { postAgentMessage(input: $input) { `+messageFields+` } }`,
		Vars{"input": Vars{"conversationId": c.ID, "epoch": epoch, "text": text}}, nil)
}

// AgentWrites posts a message of the Agent under an epoch that must hold.
func (c *Conversation) AgentWrites(epoch int64, text string) {
	c.t.Helper()
	require.NoError(c.t, c.TryAgentWrites(epoch, text))
}

// Requested is the answer to a request for a human.
type Requested struct {
	Outcome     string
	Text        string
	Detail      string
	NextOpening *time.Time
	Handoff     *Handoff
}

// TryRequest asks for a human, as the Agent does.
func (c *Conversation) TryRequest(input Vars) (Requested, error) {
	return c.tryRequest(c.Runtime, input)
}

func (c *Conversation) tryRequest(as *Client, input Vars) (Requested, error) {
	var asked struct{ RequestHandoff Requested }
	err := as.Try(`mutation($input: RequestHandoffInput!) { requestHandoff(input: $input) {
		outcome text detail nextOpening handoff { `+handoffFields+` } } }`,
		Vars{"input": Vars{"conversationId": c.ID}.with(input)}, &asked)
	return asked.RequestHandoff, err
}

// TryUserRequest asks for a human, as the User's chat does.
func (c *Conversation) TryUserRequest() (Requested, error) { return c.tryRequest(c.User, nil) }

// Request asks for a human, as the Agent does.
func (c *Conversation) Request(input Vars) Requested {
	c.t.Helper()
	asked, err := c.TryRequest(input)
	require.NoError(c.t, err)
	return asked
}

// Connecting asks for a human and waits until the desk has accepted.
func (c *Conversation) Connecting(input Vars) Handoff {
	c.t.Helper()
	asked := c.Request(Vars{"waitSeconds": 30}.with(input))
	require.Equal(c.t, "CONNECTING", asked.Outcome)
	return *asked.Handoff
}

// Connected asks for a human, who writes a first message.
func (c *Conversation) Connected(input Vars) Handoff {
	c.t.Helper()
	h := c.Connecting(input)
	c.OperatorWrites("Hello, this is support.")
	return h
}

// Handoff is what tests look at of a Handoff.
type Handoff struct {
	ID, State, Reason, DeskRef        string
	OperatorName, ClaimedBy           string
	Note, Summary                     string
	DeadlineKind                      string
	DeadlineAt, WaitingSince          *time.Time
	AcceptedAt, ConnectedAt, ClosedAt *time.Time
	Version                           int64
}

const handoffFields = `id state reason deskRef operatorName claimedBy note summary deadlineKind deadlineAt
	waitingSince acceptedAt connectedAt closedAt version`

// Handoff is the newest Handoff of the Conversation.
func (c *Conversation) Handoff() Handoff {
	c.t.Helper()
	h, err := c.TryHandoff()
	require.NoError(c.t, err)
	return h
}

// TryHandoff is [Conversation.Handoff] for any goroutine.
func (c *Conversation) TryHandoff() (Handoff, error) {
	var read struct {
		Conversation struct {
			Handoffs struct{ Nodes []Handoff }
		}
	}
	err := c.Runtime.Try(`query($c: ID!) { conversation(id: $c) { handoffs(first: 1) { nodes { `+handoffFields+` } } } }`, Vars{"c": c.ID}, &read)
	if err == nil && len(read.Conversation.Handoffs.Nodes) == 0 {
		err = errors.New("no handoff was ever requested")
	}
	if err != nil {
		return Handoff{}, err
	}
	return read.Conversation.Handoffs.Nodes[0], nil
}

// ReturnPackage is what the Agent gets back.
type ReturnPackage struct {
	Reason, Marker         string
	Truncated              bool
	Transcript, Unanswered []Event
}

// ReturnPackage reads that of the newest Handoff, which must have ended.
func (c *Conversation) ReturnPackage() ReturnPackage {
	c.t.Helper()
	var read struct {
		Handoff struct{ ReturnPackage *ReturnPackage }
	}
	c.Runtime.Do(`query($h: ID!) { handoff(id: $h) { returnPackage { reason marker truncated
		transcript { __typename seq author text operatorName } unanswered { __typename seq author text } } } }`, Vars{"h": c.Handoff().ID}, &read)
	require.NotNil(c.t, read.Handoff.ReturnPackage)
	return *read.Handoff.ReturnPackage
}

// tryInput calls endHandoff, cancelHandoff or keepWaiting.
func (c *Conversation) tryInput(as *Client, mutation, inputType string) (Handoff, error) {
	var done map[string]struct{ Handoff Handoff }
	err := as.Try(`mutation($input: `+inputType+`!) { `+mutation+`(input: $input) { handoff { `+handoffFields+` } } }`,
		Vars{"input": Vars{"conversationId": c.ID}}, &done)
	return done[mutation].Handoff, err
}

// TryUserEnds ends the open Handoff for the User.
func (c *Conversation) TryUserEnds() (Handoff, error) {
	return c.tryInput(c.User, "endHandoff", "EndHandoffInput")
}

// TryUserCancels withdraws the request for the User.
func (c *Conversation) TryUserCancels() (Handoff, error) {
	return c.tryInput(c.User, "cancelHandoff", "CancelHandoffInput")
}

// TryKeepWaiting answers the question whether to keep waiting.
func (c *Conversation) TryKeepWaiting() (Handoff, error) {
	return c.tryInput(c.User, "keepWaiting", "KeepWaitingInput")
}

// TryOwnerEnds ends the open Handoff for the Agent's owner.
func (c *Conversation) TryOwnerEnds() (Handoff, error) {
	return c.tryInput(c.Runtime, "endHandoff", "EndHandoffInput")
}

// TryOperatorWrites sends an Operator's message from the webhook desk about a session.
func (c *Conversation) TryOperatorWrites(ref, text string, more Vars) (Human, error) {
	return c.TryHuman(ReceivePath, c.Key(), Vars{
		"conversation_id": ref, "timestamp": timestamp(), "body": text,
	}.with(more))
}

// OperatorWrites sends an Operator's message to the newest Handoff, at whichever desk.
func (c *Conversation) OperatorWrites(text string) {
	c.t.Helper()
	h := c.Handoff()
	if c.Desk == nil {
		require.NoError(c.t, c.TryBuiltinWrites(h.ID, text))
		return
	}
	answer, err := c.TryOperatorWrites(h.DeskRef, text, nil)
	require.NoError(c.t, err)
	require.Equal(c.t, Taken, answer)
}

// TryBuiltinWrites sends an Operator's message at the built-in desk.
func (c *Conversation) TryBuiltinWrites(handoffID, text string) error {
	return c.Runtime.Try(`mutation($input: PostOperatorMessageInput!) { postOperatorMessage(input: $input) { `+messageFields+` } }`,
		Vars{"input": Vars{"handoffId": handoffID, "operator": "Jo", "text": text}}, nil)
}

// OperatorEnds ends the newest Handoff, at whichever desk.
func (c *Conversation) OperatorEnds() {
	c.t.Helper()
	h := c.Handoff()
	if c.Desk == nil {
		c.Runtime.Do(`mutation($h: ID!) { endOperatorSession(input: {handoffId: $h, operator: "Jo"}) { handoff { state } } }`, Vars{"h": h.ID}, nil)
		return
	}
	require.Equal(c.t, Taken, c.Human(c.t, EndPath, c.Key(), Vars{"conversation_id": h.DeskRef, "timestamp": timestamp()}))
}
