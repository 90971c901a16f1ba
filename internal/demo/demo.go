// Package demo plays one complete handoff through the real interfaces: GraphQL
// over HTTP as the Agent's runtime and its administrator, a websocket as the
// User's chat, and a small webhook desk with an Operator on the other side. It
// prints the dialogue as it happens, and fails unless every step was seen.
package demo

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Options say where the server is and who may configure it.
type Options struct {
	URL        string // of the running server, e.g. http://127.0.0.1:8080
	AdminToken string
	Out        io.Writer // the dialogue goes here
}

// stepTimeout is how long one step may take before the demo fails.
const stepTimeout = 10 * time.Second

const userEmail = "mei.lin@example.com"

// Run plays the handoff. The server must allow desks on loopback addresses.
func Run(ctx context.Context, o Options) error {
	p := &play{out: o.Out, admin: client{url: o.URL, token: o.AdminToken}}
	desk, err := startDesk(ctx, o.URL)
	if err != nil {
		return err
	}
	defer desk.stop()
	p.desk = desk
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{
		{"configure the agent and its desk", p.configure},
		{"open the chat", p.openChat},
		{"talk to the agent", p.talkToAgent},
		{"ask for a person", p.askForPerson},
		{"give the e-mail address", p.giveEmail},
		{"the operator answers", p.operatorAnswers},
		{"a late agent message is refused", p.lateAgent},
		{"the user answers the operator", p.userAnswers},
		{"the operator ends", p.operatorEnds},
		{"the agent goes on", p.agentGoesOn},
	} {
		limited, cancel := context.WithTimeout(ctx, stepTimeout)
		err := step.run(limited)
		cancel()
		if err != nil {
			return fmt.Errorf("demo: %s: %w", step.name, err)
		}
	}
	p.say("", "Every step was seen: %d events, in order and without a gap.", p.chat.last)
	return p.chat.close()
}

// play is the state of one run.
type play struct {
	out   io.Writer
	admin client // the administrator
	agent client // the Agent's runtime, with its key
	user  client // the User's chat, with a token for one conversation
	desk  *desk
	chat  *chat

	agentID, conversationID, handoffID string
	epoch                              int64
}

func (p *play) say(who, format string, args ...any) {
	fmt.Fprintf(p.out, "%-10s %s\n", who, fmt.Sprintf(format, args...))
}

func (p *play) configure(ctx context.Context) error {
	var made struct {
		CreateAgent struct{ Agent struct{ ID string } }
	}
	if err := p.admin.do(ctx, `mutation { createAgent(input: {name: "Demo Shop"}) { agent { id } } }`, nil, &made); err != nil {
		return err
	}
	p.agentID = made.CreateAgent.Agent.ID
	var key struct{ CreateAgentKey struct{ Key string } }
	if err := p.admin.do(ctx, `mutation($id: ID!) { createAgentKey(input: {agentId: $id, name: "demo"}) { key } }`,
		vars{"id": p.agentID}, &key); err != nil {
		return err
	}
	p.agent = client{url: p.admin.url, token: key.CreateAgentKey.Key}
	p.desk.agentKey = key.CreateAgentKey.Key
	var connected struct {
		ConnectDesk struct {
			DeskConnection struct{ Status, LastError string }
		}
	}
	if err := p.agent.do(ctx, `mutation($id: ID!, $url: String!) {
		connectDesk(input: {agentId: $id, kind: "webhook", fields: [{name: "url", value: $url}]}) { deskConnection { status lastError } }
	}`, vars{"id": p.agentID, "url": p.desk.url}, &connected); err != nil {
		return err
	}
	if c := connected.ConnectDesk.DeskConnection; c.Status != "AVAILABLE" {
		return fmt.Errorf("the desk is %s: %s", c.Status, c.LastError)
	}
	if err := p.agent.do(ctx, `mutation($id: ID!) {
		updateHandoffSettings(input: {agentId: $id, enabled: true, trigger: "Hand over when the user asks for a person."}) { settings { enabled } }
	}`, vars{"id": p.agentID}, nil); err != nil {
		return err
	}
	p.say("", "An agent with a webhook desk at %s is ready.", p.desk.url)
	return nil
}

func (p *play) openChat(ctx context.Context) error {
	var started struct {
		StartConversation struct {
			Conversation struct {
				ID    string
				Epoch int64
			}
		}
	}
	if err := p.agent.do(ctx, `mutation {
		startConversation(input: {channel: WIDGET, language: "en", user: {id: "member-20417", name: "Mei"}}) { conversation { id epoch } }
	}`, nil, &started); err != nil {
		return err
	}
	p.conversationID = started.StartConversation.Conversation.ID
	p.epoch = started.StartConversation.Conversation.Epoch
	var token struct{ CreateUserToken struct{ Token string } }
	if err := p.agent.do(ctx, `mutation($c: ID!) { createUserToken(input: {conversationId: $c}) { token } }`,
		vars{"c": p.conversationID}, &token); err != nil {
		return err
	}
	p.user = client{url: p.admin.url, token: token.CreateUserToken.Token}
	chat, err := openChat(ctx, p.admin.url, p.user.token, p.conversationID, p.show)
	p.chat = chat
	return err
}

// show prints an event as the User's chat sees it.
func (p *play) show(e event) {
	switch e.Typename {
	case "Message":
		who := map[string]string{"USER": "User", "AGENT": "Agent", "OPERATOR": "Operator", "SYSTEM": "System"}[e.Author]
		p.say(who, "%s", e.Text)
	case "HandoffChanged":
		p.say("", "  [handoff is %s]", strings.TrimSpace(e.State+" "+e.Reason))
	case "ControlChanged":
		p.say("", "  [%s speaks now, epoch %d]", strings.ToLower(e.Control), e.Epoch)
	}
}

func (p *play) post(ctx context.Context, text string) error {
	return p.user.do(ctx, `mutation($c: ID!, $t: String!) { postUserMessage(input: {conversationId: $c, text: $t}) { message { seq } } }`,
		vars{"c": p.conversationID, "t": text}, nil)
}

func (p *play) answer(ctx context.Context, text string) error {
	return p.agent.do(ctx, `mutation($c: ID!, $e: Int64!, $t: String!) {
		postAgentMessage(input: {conversationId: $c, epoch: $e, text: $t}) { message { seq } }
	}`, vars{"c": p.conversationID, "e": p.epoch, "t": text}, nil)
}

func (p *play) talkToAgent(ctx context.Context) error {
	for _, line := range []struct {
		post func(context.Context, string) error
		text string
	}{
		{p.post, "Do you ship to Penghu?"},
		{p.answer, "Yes, delivery to Penghu takes five to seven days."},
		{p.post, "My parcel is late, let me talk to a person."},
	} {
		if err := line.post(ctx, line.text); err != nil {
			return err
		}
		if err := p.chat.until(ctx, func(e event) bool { return e.Text == line.text }); err != nil {
			return err
		}
	}
	return nil
}

func (p *play) askForPerson(ctx context.Context) error {
	var asked struct {
		RequestHandoff struct {
			Outcome string
			Handoff struct{ ID string }
		}
	}
	if err := p.agent.do(ctx, `mutation($c: ID!, $e: Int64!) {
		requestHandoff(input: {conversationId: $c, epoch: $e, note: "Parcel is late", waitSeconds: 5}) { outcome handoff { id } }
	}`, vars{"c": p.conversationID, "e": p.epoch}, &asked); err != nil {
		return err
	}
	if asked.RequestHandoff.Outcome != "EMAIL_REQUIRED" {
		return fmt.Errorf("the outcome is %s, not EMAIL_REQUIRED", asked.RequestHandoff.Outcome)
	}
	p.handoffID = asked.RequestHandoff.Handoff.ID
	return p.chat.until(ctx, func(e event) bool { return e.Notice == "EMAIL_ASK" })
}

func (p *play) giveEmail(ctx context.Context) error {
	if err := p.post(ctx, userEmail); err != nil {
		return err
	}
	opened, err := p.desk.next(ctx, "/conversation/establish")
	if err != nil {
		return err
	}
	if opened.Email != userEmail || opened.question() != "My parcel is late, let me talk to a person." {
		return fmt.Errorf("the desk got the e-mail %q and the question %q", opened.Email, opened.question())
	}
	p.say("Desk", "  [a session with %d lines of context]", len(opened.Rounds))
	return p.chat.until(ctx, func(e event) bool { return e.Notice == "CONNECTING" })
}

func (p *play) operatorAnswers(ctx context.Context) error {
	const text = "Hello, this is support. I am checking your parcel now."
	if err := p.desk.reply(ctx, text); err != nil {
		return err
	}
	if err := p.chat.until(ctx, func(e event) bool { return e.Notice == "CONNECTED" }); err != nil {
		return err
	}
	return p.chat.until(ctx, func(e event) bool { return e.Author == "OPERATOR" && e.Text == text })
}

// lateAgent is a bot answer that was still being generated when the human took over.
func (p *play) lateAgent(ctx context.Context) error {
	err := p.answer(ctx, "This answer comes too late and must never be seen.")
	if code := codeOf(err); code != "STALE_CONTROL" {
		return fmt.Errorf("the late message was answered with %q, not STALE_CONTROL: %w", code, err)
	}
	p.say("Agent", "  [a late answer was refused: STALE_CONTROL]")
	return nil
}

func (p *play) userAnswers(ctx context.Context) error {
	const text = "Thank you. It is order 4711."
	if err := p.post(ctx, text); err != nil {
		return err
	}
	got, err := p.desk.next(ctx, "/chat")
	if err != nil {
		return err
	}
	if got.Text != text {
		return fmt.Errorf("the desk got %q", got.Text)
	}
	return p.chat.until(ctx, func(e event) bool { return e.Text == text })
}

func (p *play) operatorEnds(ctx context.Context) error {
	if err := p.desk.reply(ctx, "It is out for delivery and arrives today. Goodbye!"); err != nil {
		return err
	}
	if err := p.desk.end(ctx); err != nil {
		return err
	}
	return p.chat.until(ctx, func(e event) bool {
		if e.Typename == "ControlChanged" {
			p.epoch = e.Epoch
		}
		return e.Typename == "ControlChanged" && e.Control == "AGENT"
	})
}

func (p *play) agentGoesOn(ctx context.Context) error {
	var back struct {
		Handoff struct {
			ReturnPackage struct {
				Reason, Marker string
				Transcript     []struct{ Author, Text string }
			}
		}
	}
	if err := p.agent.do(ctx, `query($h: ID!) { handoff(id: $h) { returnPackage { reason marker transcript { author text } } } }`,
		vars{"h": p.handoffID}, &back); err != nil {
		return err
	}
	r := back.Handoff.ReturnPackage
	if r.Reason != "OPERATOR_ENDED" || len(r.Transcript) < 3 {
		return fmt.Errorf("the return package has the reason %q and %d messages", r.Reason, len(r.Transcript))
	}
	p.say("", "  [return package: %s %d messages]", r.Marker, len(r.Transcript))
	const text = "Is there anything else I can do for you?"
	if err := p.answer(ctx, text); err != nil {
		return err
	}
	return p.chat.until(ctx, func(e event) bool { return e.Author == "AGENT" && e.Text == text })
}

// httpClient is for loopback calls of the demo only.
var httpClient = &http.Client{Timeout: stepTimeout}
