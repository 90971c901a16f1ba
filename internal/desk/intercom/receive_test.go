package intercom

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/intercom/simulator"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// sample reads a documented payload.
func sample(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "intercom", name))
	require.NoError(t, err)
	return string(raw)
}

const secret = "ic-client-secret-7f3a"

// The vectors were computed with openssl dgst -sha1 -hmac.
var vectors = []struct{ body, signature string }{
	{
		`{"type":"notification_event","app_id":"zx81qw92","topic":"ping","data":{"type":"notification_event_data","item":{"type":"ping","message":"hello"}}}`,
		"sha1=a7ac72bc4378482e824ebf267ab0bfde4fe9c433",
	},
	{
		`{"type":"notification_event","topic":"conversation.admin.replied","data":{"item":{"id":"219900000000042","conversation_parts":{"conversation_parts":[{"id":"410000000007","part_type":"comment","body":"<p>您好，我是客服 ☕</p>","author":{"type":"admin","id":"7700001"}}]}}}}`,
		"sha1=0c6f837de09613ebdeaf3b8bc5a82dbd207afa79",
	},
}

func TestSignature(t *testing.T) {
	t.Parallel()
	for _, v := range vectors {
		header := http.Header{headerSignature: {v.signature}}
		require.NoError(t, verify([]byte(secret), header, []byte(v.body)))
		for name, bad := range map[string]struct {
			secret, signature, body string
		}{
			"other secret": {"x", v.signature, v.body},
			"altered byte": {secret, v.signature, v.body[:len(v.body)-1] + " "},
			"none":         {secret, "", v.body},
			"no prefix":    {secret, strings.TrimPrefix(v.signature, "sha1="), v.body},
			"cut":          {secret, v.signature[:len(v.signature)-1], v.body},
			"other hash":   {secret, "sha256=" + v.signature[5:], v.body},
		} {
			err := verify([]byte(bad.secret), http.Header{headerSignature: {bad.signature}}, []byte(bad.body))
			require.Equal(t, fault.Unauthenticated, fault.KindOf(err), name)
		}
	}
}

// signedDesk knows who it is without asking. Intercom does not answer it.
func signedDesk(t testing.TB) *intercomDesk {
	d := connect(t, map[string]string{}, map[string]string{fieldClientSecret: secret})
	d.identities.set(identity{base: "http://127.0.0.1:1", admin: "7709999", app: "zx81qw92"})
	d.http = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("down") })}
	d.pause = func(context.Context, time.Duration) bool { return false }
	return d
}

// knows has Intercom answer with the conversation that a webhook tells of.
func (d *intercomDesk) knows(t testing.TB, webhook string) {
	t.Helper()
	var n notification
	require.NoError(t, json.Unmarshal([]byte(webhook), &n))
	d.http = &http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(n.Data.Item))}, nil
	})}
}

func receiveSigned(t testing.TB, d *intercomDesk, body string) ([]handoff.DeskEvent, error) {
	t.Helper()
	s := simulator.New(simulator.Options{ClientSecret: secret})
	return d.Receive(t.Context(), desk.Inbound{Header: s.Sign([]byte(body)), Body: []byte(body), ReceivedAt: now.Add(time.Hour)})
}

// Every documented webhook, and what comes of it. The files that are not named
// give no event.
func TestSamples(t *testing.T) {
	t.Parallel()
	const ref = "219900000000042"
	at := func(seconds int64) time.Time { return time.Unix(seconds, 0).UTC() }
	message := func(id string, seconds int64, text string, files ...handoff.Attachment) handoff.DeskEvent {
		return handoff.DeskEvent{
			Kind: handoff.DeskMessage, Ref: ref, ID: id, At: at(seconds), OperatorName: "Dana Helper", Text: text, Attachments: files,
		}
	}
	want := map[string][]handoff.DeskEvent{
		"conversation.admin.replied.html":            {message("410000000007", 1790001300, "Hi Robin, I am Dana & I can help.\nWhich order is it?")},
		"conversation.admin.replied.plaintext_v2_15": {message("410000000007", 1790001300, "Hi Robin, I am Dana & I can help.\nWhich order is it?")},
		"conversation.admin.replied.attachment": {message("410000000008", 1790001320, "Here is the form.", handoff.Attachment{
			URL:  "https://downloads.intercomcdn.com/i/o/zx81qw92/1000001/0c1d2e3f/refund-form.pdf?expires=1790099000&signature=0000",
			Name: "refund-form.pdf", ContentType: "application/pdf", SizeBytes: 48213,
		})},
		"conversation.admin.replied.inline_image_plaintext_v2_15": {message("410000000009", 1790001330, "See the screenshot.", handoff.Attachment{
			URL:  "https://downloads.intercomcdn.com/i/o/zx81qw92/1000002/0c1d2e3f/screen.png?expires=1790099000&signature=0000",
			Name: "screen.png", ContentType: "image/png", SizeBytes: 20481,
		})},
		"conversation.admin.replied.part_type_assignment": {
			{Kind: handoff.DeskJoined, Ref: ref, ID: "410000000010:joined", At: at(1790001290), OperatorName: "Dana Helper"},
			message("410000000010", 1790001290, "Hi, I just picked this up."),
		},
		"conversation.admin.assigned": {
			{Kind: handoff.DeskJoined, Ref: ref, ID: "410000000025:joined", At: at(1790001200), OperatorName: "Dana Helper"},
		},
		"conversation.admin.closed": {{Kind: handoff.DeskEnded, Ref: ref, ID: "410000000020:ended", At: at(1790001900)}},
		"conversation.admin.closed.with_body": {
			message("410000000021", 1790001900, "Refund is on its way. Bye!"),
			{Kind: handoff.DeskEnded, Ref: ref, ID: "410000000021:ended", At: at(1790001900)},
		},
		"conversation.deleted": {{Kind: handoff.DeskEnded, Ref: ref, ID: "deleted:" + ref, At: now.Add(time.Hour)}},
	}
	files, err := filepath.Glob(filepath.Join("testdata", "intercom", "webhook.*.json"))
	require.NoError(t, err)
	require.Len(t, files, 23)
	d, found := signedDesk(t), signedDesk(t)
	for _, path := range files {
		name := filepath.Base(path)
		key := strings.TrimSuffix(strings.TrimPrefix(name, "webhook."), ".json")
		found.knows(t, sample(t, name))
		events, err := receiveSigned(t, found, sample(t, name))
		require.NoError(t, err, name)
		require.Equal(t, want[key], events, name)
		// Without an answer of Intercom the webhook says the same, but for the end.
		events, err = receiveSigned(t, d, sample(t, name))
		if strings.HasPrefix(key, "conversation.admin.closed") {
			require.Equal(t, fault.DeskUnavailable, fault.KindOf(err), name)
		} else {
			require.NoError(t, err, name)
			require.Equal(t, want[key], events, name)
		}
		delete(want, key)
	}
	require.Empty(t, want)

	events, err := receiveSigned(t, d, strings.Replace(vectors[1].body, "{", `{"app_id":"zx81qw92",`, 1))
	require.NoError(t, err)
	require.Equal(t, "您好，我是客服 ☕", events[0].Text)
}

// Every documented answer can be read.
func TestSampleAnswers(t *testing.T) {
	t.Parallel()
	for name, into := range map[string]any{
		"api.me.response.json": &me{}, "api.contacts.create.response.json": &contact{}, "api.contacts.search.response.json": &contactList{},
		"api.contacts.search.response_empty.json": &contactList{}, "api.contacts.unarchive.response.json": &contact{},
		"api.conversations.create.response.json": &created{}, "api.conversations.get_plaintext.response.json": &conversation{},
		"api.conversations.parts.close.response.json": &conversation{}, "api.conversations.reply.response.json": &conversation{},
		"api.conversations.reply.response_reopened.json": &conversation{},
	} {
		require.NoError(t, json.Unmarshal([]byte(sample(t, name)), into), name)
	}
	var c conversation
	require.NoError(t, json.Unmarshal([]byte(sample(t, "api.conversations.get_plaintext.response.json")), &c))
	require.Equal(t, id("219900000000042"), c.ID)
	require.Len(t, c.Parts.Parts, 4)
	var made created
	require.NoError(t, json.Unmarshal([]byte(sample(t, "api.conversations.create.response.json")), &made))
	require.Equal(t, id("219900000000042"), made.ConversationID)
}

func TestIDs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]id{`"7"`: "7", `7`: "7", `410000000007123456`: "410000000007123456", `null`: "", `""`: ""} {
		var got id
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Equal(t, want, got)
	}
	for _, text := range []string{`{}`, `[]`, `true`} {
		var got id
		require.Error(t, json.Unmarshal([]byte(text), &got), text)
	}
}

// A whole session, told by signed webhooks and by hints.
func TestSession(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields map[string]string
		plain  bool
	}{
		"signed, HTML":  {map[string]string{fieldClientSecret: secret}, false},
		"signed, plain": {map[string]string{fieldClientSecret: secret}, true},
		"hints":         {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := now
			w := newWorkspace(t, simulator.Options{ClientSecret: secret, Plain: c.plain, Now: func() time.Time { return clock }}, c.fields)
			ref := w.open(t)
			w.Notifications()
			seen := map[string]bool{}
			// hear gives what is new to the business, which drops ids that it had.
			hear := func(n simulator.Notification, err error) []string {
				t.Helper()
				require.NoError(t, err)
				clock = clock.Add(time.Second)
				events, err := w.desk.Receive(t.Context(), desk.Inbound{Header: n.Header, Body: n.Body, ReceivedAt: clock})
				require.NoError(t, err)
				var list []string
				for _, e := range events {
					require.Equal(t, ref, e.Ref)
					require.NotEmpty(t, e.ID)
					if !seen[e.ID] {
						seen[e.ID] = true
						list = append(list, strings.TrimSpace(string(e.Kind)+" "+e.OperatorName+" "+e.Text))
					}
				}
				return list
			}
			require.Empty(t, hear(w.Ping(), nil))
			require.Empty(t, hear(w.Reply(ref, simulator.Bot, "We are on it")))
			require.Empty(t, hear(w.Reply(ref, simulator.Fin, "Look at the invoices")))
			require.Empty(t, hear(w.Note(ref, simulator.Dana, "secret")))
			require.Equal(t, []string{"JOINED Dana Helper"}, hear(w.Assign(ref, simulator.Dana, simulator.Dana, "")))
			require.Equal(t, []string{"MESSAGE Dana Helper Hello <you> & \"all\"\nHow are you?"},
				hear(w.Reply(ref, simulator.Dana, "Hello <you> & \"all\"\nHow are you?")))
			require.Empty(t, hear(w.Again(ref, topicAssigned)), "the same part on another topic")
			require.Equal(t, []string{"MESSAGE AI Agent typed in the inbox"}, hear(w.Reply(ref, simulator.App, "typed in the inbox")))
			require.Empty(t, hear(w.Snooze(ref, simulator.Dana)))
			require.Empty(t, hear(w.Unsnooze(ref, simulator.Dana)))
			require.Empty(t, hear(w.Again(ref, "conversation.read")))
			require.Equal(t, []string{"MESSAGE Dana Helper Bye!", "ENDED"}, hear(w.Close(ref, simulator.Dana, "Bye!")))
			for _, n := range w.Notifications() {
				require.Empty(t, hear(n, nil), "repeated")
			}
		})
	}
}

func TestOwnCloseIsNoEnd(t *testing.T) {
	t.Parallel()
	for _, fields := range []map[string]string{{fieldClientSecret: secret}, nil} {
		w := newWorkspace(t, simulator.Options{ClientSecret: secret}, fields)
		ref := w.open(t)
		require.NoError(t, w.desk.Close(t.Context(), desk.CloseRequest{Ref: ref, Reason: handoff.ReasonUserEnded}))
		n := 0
		for _, hook := range w.Notifications() {
			events, err := w.desk.Receive(t.Context(), desk.Inbound{Header: hook.Header, Body: hook.Body, ReceivedAt: now})
			require.NoError(t, err)
			require.Empty(t, events, hook.Topic)
			n++
		}
		require.Equal(t, 2, n, "the note and the end")
	}
}

func TestClosedByABot(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{ClientSecret: secret}, map[string]string{fieldClientSecret: secret})
	hook, err := w.Close(w.open(t), simulator.Bot, "No answer, so I close this.")
	require.NoError(t, err)
	events, err := w.desk.Receive(t.Context(), desk.Inbound{Header: hook.Header, Body: hook.Body, ReceivedAt: now})
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, handoff.DeskEnded, events[0].Kind)
	require.Empty(t, events[0].Text)
}

// Without a secret nobody can make a session say or end anything.
func TestForgedHints(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	ref := w.open(t)
	forged := strings.NewReplacer("219900000000042", ref).Replace
	receive := func(body string) []handoff.DeskEvent {
		events, err := w.desk.Receive(t.Context(), desk.Inbound{Body: []byte(body), ReceivedAt: now})
		require.NoError(t, err)
		return events
	}
	require.Empty(t, receive(forged(sample(t, "webhook.conversation.admin.replied.html.json"))))
	require.Empty(t, receive(forged(sample(t, "webhook.conversation.admin.closed.with_body.json"))))
	require.Empty(t, receive(forged(sample(t, "webhook.conversation.deleted.json"))))
	before := len(w.Requests())
	require.Empty(t, receive(strings.ReplaceAll(sample(t, "webhook.conversation.admin.replied.html.json"), "zx81qw92", "other")), "another workspace")
	require.Empty(t, receive(sample(t, "webhook.conversation.read.json")))
	require.Len(t, w.Requests(), before, "no call")
	for _, bad := range []string{"../contacts", "1/reply", "", "123456789012345678901"} {
		_, err := w.desk.Receive(t.Context(), desk.Inbound{ReceivedAt: now, Body: []byte(
			`{"type":"notification_event","app_id":"zx81qw92","topic":"conversation.admin.replied","data":{"item":{"id":"` + bad + `"}}}`)})
		require.Equal(t, fault.InvalidInput, fault.KindOf(err), bad)
	}
	require.Len(t, w.Requests(), before, "no call")
	// What the last webhook missed, the next hint brings.
	_, err := w.Reply(ref, simulator.Dana, "missed")
	require.NoError(t, err)
	require.Equal(t, "missed", receive(forged(sample(t, "webhook.conversation.admin.snoozed.json")))[0].Text)
	_, err = w.Delete(ref)
	require.NoError(t, err)
	require.Equal(t, handoff.DeskEnded, receive(forged(sample(t, "webhook.conversation.admin.snoozed.json")))[0].Kind)
}

// Webhooks that come in the wrong order, or not at all, change nothing: what they
// tell of is told in its order, and all of it before the end.
func TestDisorder(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]map[string]string{"signed": {fieldClientSecret: secret}, "hints": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := now
			w := newWorkspace(t, simulator.Options{ClientSecret: secret, Now: func() time.Time { return clock }}, fields)
			ref := w.open(t)
			w.Notifications()
			for _, text := range []string{"one", "two", "three"} {
				clock = clock.Add(time.Second)
				_, err := w.Reply(ref, simulator.Dana, text)
				require.NoError(t, err)
			}
			_, err := w.Close(ref, simulator.Dana, "Bye!")
			require.NoError(t, err)
			hooks := w.Notifications()
			slices.Reverse(hooks)
			seen := map[string]bool{}
			var heard []string
			for _, n := range append(hooks, hooks...) {
				clock = clock.Add(time.Second)
				events, err := w.desk.Receive(t.Context(), desk.Inbound{Header: n.Header, Body: n.Body, ReceivedAt: clock})
				require.NoError(t, err)
				for _, e := range events {
					if !seen[e.ID] {
						seen[e.ID] = true
						heard = append(heard, string(e.Kind)+" "+e.Text)
					}
				}
			}
			require.Equal(t, []string{"MESSAGE one", "MESSAGE two", "MESSAGE three", "MESSAGE Bye!", "ENDED "}, heard)
		})
	}
}

// A webhook that comes hours late still tells of its part.
func TestLateWebhook(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{ClientSecret: secret}, map[string]string{fieldClientSecret: secret})
	hook, err := w.Reply(w.open(t), simulator.Dana, "late")
	require.NoError(t, err)
	events, err := w.desk.Receive(t.Context(), desk.Inbound{Header: hook.Header, Body: hook.Body, ReceivedAt: now.Add(2 * time.Hour)})
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, "late", events[0].Text)
}

func TestMissed(t *testing.T) {
	t.Parallel()
	clock := now
	w := newWorkspace(t, simulator.Options{ClientSecret: secret, Now: func() time.Time { return clock }}, map[string]string{fieldClientSecret: secret})
	ref := w.open(t)
	missed := func(since time.Time) (list []string) {
		t.Helper()
		events, err := w.desk.Missed(t.Context(), ref, since)
		require.NoError(t, err)
		for _, e := range events {
			require.Equal(t, ref, e.Ref)
			list = append(list, strings.TrimSpace(string(e.Kind)+" "+e.Text))
		}
		return list
	}
	require.Empty(t, missed(now))
	clock = now.Add(time.Minute)
	hook, err := w.Reply(ref, simulator.Dana, "one")
	require.NoError(t, err)
	_, err = w.Note(ref, simulator.Dana, "secret")
	require.NoError(t, err)
	_, err = w.Reply(ref, simulator.Fin, "I am a bot")
	require.NoError(t, err)
	clock = now.Add(2 * time.Minute)
	_, err = w.Reply(ref, simulator.Dana, "two")
	require.NoError(t, err)
	require.Equal(t, []string{"MESSAGE one", "MESSAGE two"}, missed(now))
	require.Equal(t, []string{"MESSAGE two"}, missed(now.Add(90*time.Second)))
	require.Equal(t, []string{"MESSAGE two"}, missed(now.Add(2*time.Minute+time.Second)), "Intercom's clock may be behind")

	told, err := w.desk.Receive(t.Context(), desk.Inbound{Header: hook.Header, Body: hook.Body, ReceivedAt: now.Add(time.Minute)})
	require.NoError(t, err)
	caughtUp, err := w.desk.Missed(t.Context(), ref, now)
	require.NoError(t, err)
	require.Equal(t, told, caughtUp, "the same ids as by webhook")

	clock = now.Add(3 * time.Minute)
	_, err = w.Close(ref, simulator.Dana, "")
	require.NoError(t, err)
	require.Equal(t, []string{"ENDED"}, missed(now.Add(time.Hour)), "an end is told however long ago it was")
	_, err = w.desk.Send(t.Context(), sendRequest(ref, "wait!"))
	require.NoError(t, err)
	require.Empty(t, missed(now.Add(time.Hour)), "it is open again")
	require.NoError(t, w.desk.Close(t.Context(), desk.CloseRequest{Ref: ref, Reason: handoff.ReasonUserEnded}))
	require.Empty(t, missed(now.Add(time.Hour)), "our own end")

	_, err = w.Delete(ref)
	require.NoError(t, err)
	require.Equal(t, []string{"ENDED"}, missed(now.Add(time.Hour)))
	w.Fail(failing(1, "GET", ref, simulator.Failure{Status: 503}))
	_, err = w.desk.Missed(t.Context(), ref, now)
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
}

func TestClosedWithoutAPart(t *testing.T) {
	t.Parallel()
	d := signedDesk(t)
	d.knows(t, `{"data":{"item":{"id":"7","state":"closed"}}}`)
	events, err := d.Missed(t.Context(), "7", now)
	require.NoError(t, err)
	require.Equal(t, []handoff.DeskEvent{{Kind: handoff.DeskEnded, Ref: "7", ID: "closed:7", At: now}}, events)
}

func TestIntercomIsDownDuringAHint(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	ref := w.open(t)
	w.Fail(failing(-1, "GET", ref, simulator.Failure{Status: 503}))
	hint := desk.Inbound{ReceivedAt: now, Body: []byte(
		strings.ReplaceAll(sample(t, "webhook.conversation.admin.replied.html.json"), "219900000000042", ref))}
	_, err := w.desk.Receive(t.Context(), hint)
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err), "Intercom sends it again")
	require.Equal(t, lookWaits, w.waits)
	w.Fail(failing(-1, "GET", ref, simulator.Failure{Status: 429}))
	_, err = w.desk.Receive(t.Context(), hint)
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err), "after a 429 Intercom would send nothing for long")
}

// A look that fails for a moment is repeated before a signed webhook is believed by
// itself, which would not know of what was said before.
func TestIntercomIsDownForAMoment(t *testing.T) {
	t.Parallel()
	for _, status := range []int{429, 503} {
		w := newWorkspace(t, simulator.Options{ClientSecret: secret}, map[string]string{fieldClientSecret: secret})
		ref := w.open(t)
		_, err := w.Reply(ref, simulator.Dana, "one")
		require.NoError(t, err)
		hook, err := w.Reply(ref, simulator.Dana, "two")
		require.NoError(t, err)
		w.Fail(failing(2, "GET", ref, simulator.Failure{Status: status}))
		events, err := w.desk.Receive(t.Context(), desk.Inbound{Header: hook.Header, Body: hook.Body, ReceivedAt: now})
		require.NoError(t, err)
		require.Equal(t, []string{"one", "two"}, []string{events[0].Text, events[1].Text})

		w.Fail(failing(-1, "GET", ref, simulator.Failure{Status: status}))
		events, err = w.desk.Receive(t.Context(), desk.Inbound{Header: hook.Header, Body: hook.Body, ReceivedAt: now})
		require.NoError(t, err)
		require.Len(t, events, 1)
		require.Equal(t, "two", events[0].Text)
	}
}

// A teammate whose words an AI wrote is not human either.
func TestAIAnswers(t *testing.T) {
	t.Parallel()
	for _, by := range []author{
		{Type: authorAdmin, FromAIAgent: true}, {Type: authorAdmin, IsAIAnswer: true}, {Type: "bot"}, {Type: "team"}, {Type: authorUser}, {},
	} {
		require.Empty(t, messages(handoff.DeskEvent{}, &part{ID: "7", Type: partComment, Author: by, Body: "x"}), by)
	}
	human := author{Type: authorAdmin}
	for _, p := range []part{
		{ID: "7", Type: partNote, Author: human, Body: "x"}, {ID: "7", Type: "note_and_reopen", Author: human, Body: "x"},
		{ID: "7", Type: partComment, Author: human, Body: "x", Redacted: true}, {ID: "7", Type: partComment, Author: human, Body: "<p> </p>"},
	} {
		require.Empty(t, messages(handoff.DeskEvent{}, &p), p.Type)
	}
}

// A conversation that the User's message opened again is not over.
func TestReopened(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	ref := w.open(t)
	hook, err := w.Close(ref, simulator.Dana, "")
	require.NoError(t, err)
	_, err = w.desk.Send(t.Context(), sendRequest(ref, "wait!"))
	require.NoError(t, err)
	events, err := w.desk.Receive(t.Context(), desk.Inbound{Body: hook.Body, ReceivedAt: now})
	require.NoError(t, err)
	require.Empty(t, events)
}

func TestLongAnswerIsCut(t *testing.T) {
	t.Parallel()
	e := messages(handoff.DeskEvent{}, &part{
		ID: "7", Type: partComment, Author: author{Type: authorAdmin}, Body: strings.Repeat("0123456789", 3_000),
		Attachments: []upload{{URL: "https://files.example.com/a.png"}},
	})
	require.Len(t, e, 2)
	require.Equal(t, []string{"7", "7:2"}, []string{e[0].ID, e[1].ID})
	require.Empty(t, e[0].Attachments)
	require.Len(t, e[1].Attachments, 1)
}

func FuzzReceive(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "intercom", "webhook.*.json"))
	require.NoError(f, err)
	for _, path := range files {
		f.Add(sample(f, filepath.Base(path)))
	}
	d := signedDesk(f)
	listening := signedDesk(f)
	m, err := connectMessenger(listening, map[string]string{fieldTeamID: "7", fieldUnassigned: yes, fieldEmails: yes})
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body string) {
		for _, receiver := range []*intercomDesk{d, m.intercomDesk} {
			events, err := receiveSigned(t, receiver, body)
			if err != nil {
				require.Contains(t, []fault.Kind{fault.InvalidInput, fault.DeskUnavailable}, fault.KindOf(err))
				require.Empty(t, events)
			}
			for _, e := range events {
				require.NotEmpty(t, e.ID)
				require.Regexp(t, conversationID, e.Ref)
				require.NoError(t, handoff.ValidAttachments("attachments", e.Attachments))
				require.LessOrEqual(t, len([]rune(e.Text)), handoff.MaxTextRunes)
				require.NotContains(t, e.Text, "\x00")
				require.NotContains(t, e.User.Name+e.User.ID+e.User.Email+e.User.AnonymousID, "\x00")
			}
		}
	})
}
