package livechat

import (
	"strings"

	"handoff/internal/desk"
	"handoff/internal/desk/desktest"
	"handoff/internal/desk/livechat/simulator"
	"handoff/internal/handoff"
)

// incomingOf has the simulator's people do something and makes the webhook of it.
func incomingOf(f desktest.Fake, fields map[string]string, ref string, h desktest.Happening) (desk.Inbound, bool) {
	account := f.(*fake).Simulator
	chat, _, _ := splitRef(ref)
	olga := simulator.Agent{ID: "olga@example.com", Name: h.Operator}
	said := func(by simulator.Agent) (simulator.Notification, error) {
		n, err := simulator.Notification{}, error(nil)
		if h.Text != "" {
			n, err = account.Answer(chat, by, h.Text)
		}
		for _, a := range h.Attachments {
			n, err = account.SendFile(chat, by, simulator.File{Name: a.Name, URL: a.URL, ContentType: a.ContentType})
		}
		return n, err
	}
	var (
		n   simulator.Notification
		err error
	)
	switch h.Kind {
	case desktest.OperatorWrites:
		n, err = said(olga)
	case desktest.OperatorEnds:
		n, err = account.Close(chat, olga)
	case desktest.OperatorJoins:
		n, err = account.Join(chat, olga)
	case desktest.UserWrites:
		if fields[fieldAgentEmail] == "" {
			return desk.Inbound{}, false
		}
		n, err = account.Write(chat, h.Text)
	case desktest.BotWrites:
		n, err = account.Answer(chat, simulator.Bot, h.Text)
	case desktest.PrivateNote:
		n, err = account.Whisper(chat, olga, h.Text)
	case desktest.Unfamiliar:
		n = account.Installed()
	default:
		return desk.Inbound{}, false
	}
	if err != nil {
		return desk.Inbound{}, false
	}
	for _, name := range []string{fieldWebhookSecret, fieldSecretKey} {
		if key := fields[name]; key != "" {
			n.Body = []byte(strings.Replace(string(n.Body), secret, key, 1))
		}
	}
	return desk.Inbound{Header: n.Header, Body: n.Body, ReceivedAt: h.At}, true
}

// newSession has a customer begin a chat in LiveChat's messenger, with the Agent's seat.
func newSession(f desktest.Fake) string {
	account := f.(*fake).Simulator
	chat, _ := account.Visit("Mei", "mei@example.com", "", simulator.Seat)
	for _, c := range account.Chats() {
		if c.ID == chat {
			return newRef(chat, c.Threads[0].ID)
		}
	}
	return ""
}

var modeFields = map[handoff.Mode]map[string]string{
	handoff.ModeExternalToDesk: {
		fieldOrganizationID: "7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d", fieldClientID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
		fieldRedirectURI: "https://handoff.example.com/",
	},
	handoff.ModeDeskToDesk: {
		fieldAgentEmail: simulator.Seat.ID, fieldAccountID: "9f8e7d6c-5b4a-4392-8170-6f5e4d3c2b1a", fieldToken: "canary-access-token",
		fieldSecretKey: "canary-secret-key", fieldHumanGroupID: "19",
	},
}
