package intercom

import (
	"handoff/internal/desk"
	"handoff/internal/desk/desktest"
	"handoff/internal/desk/intercom/simulator"
)

// incomingOf has the simulator's people do something and makes the webhook of it,
// signed with the connection's secret where it has one.
func incomingOf(f desktest.Fake, fields map[string]string, ref string, h desktest.Happening) (desk.Inbound, bool) {
	room := f.(*fake).Simulator
	olga := simulator.Teammate{ID: "7700042", Name: h.Operator, Email: "olga@example.com"}
	var files []simulator.Attachment
	for _, a := range h.Attachments {
		files = append(files, simulator.Attachment{URL: a.URL, Name: a.Name, ContentType: a.ContentType})
	}
	var (
		n   simulator.Notification
		err error
	)
	switch h.Kind {
	case desktest.OperatorWrites:
		n, err = room.Reply(ref, olga, h.Text, files...)
	case desktest.OperatorEnds:
		n, err = room.Close(ref, olga, "")
	case desktest.OperatorJoins:
		n, err = room.Assign(ref, olga, olga, "")
	case desktest.BotWrites:
		n, err = room.Reply(ref, simulator.Fin, h.Text)
	case desktest.PrivateNote:
		n, err = room.Note(ref, olga, h.Text)
	case desktest.Unfamiliar:
		n = room.Ping()
	default:
		return desk.Inbound{}, false
	}
	if err != nil {
		return desk.Inbound{}, false
	}
	signs := simulator.New(simulator.Options{ClientSecret: fields[fieldClientSecret]})
	return desk.Inbound{Header: signs.Sign(n.Body), Body: n.Body, ReceivedAt: h.At}, true
}
