package livechat

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/livechat/simulator"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// theRef is the session of the samples.
const theRef = "TA1HNDOFF9/TB2THREAD1"

var said0 = time.Date(2026, 9, 24, 10, 0, 41, 512_000_000, time.UTC)

// received is when the samples came.
var received = said0.Add(time.Second)

func inbound(body []byte) desk.Inbound {
	return desk.Inbound{Body: body, ReceivedAt: received}
}

// Every documented webhook, and what it means to a customer.
func TestReceiveSamples(t *testing.T) {
	t.Parallel()
	one := func(e handoff.DeskEvent) []handoff.DeskEvent {
		e.Ref = theRef
		if e.At.IsZero() {
			e.At = received
		}
		return []handoff.DeskEvent{e}
	}
	want := map[string][]handoff.DeskEvent{
		"appwebhook.application_installed":   nil,
		"appwebhook.application_uninstalled": nil,

		"webhook.chat_deactivated.by_agent":    one(handoff.DeskEvent{Kind: handoff.DeskEnded, ID: "ended"}),
		"webhook.chat_deactivated.by_customer": nil,
		"webhook.chat_deactivated.by_router":   one(handoff.DeskEvent{Kind: handoff.DeskEnded, ID: "ended"}),
		"webhook.chat_transferred.queued":      one(handoff.DeskEvent{Kind: handoff.DeskQueued, QueuePlace: 3}),
		"webhook.chat_transferred.to_agent":    one(handoff.DeskEvent{Kind: handoff.DeskJoined}),
		"webhook.events_marked_as_seen":        nil, // names no thread, and the chat is unknown
		"webhook.incoming_chat":                nil,
		"webhook.incoming_event.file.human_agent": one(handoff.DeskEvent{
			Kind: handoff.DeskMessage, ID: "TB2THREAD1_6", At: said0, Attachments: []handoff.Attachment{{
				URL:  "https://cdn.livechat-files.com/api/file/lc/main/1002003/0/ec/refund-form.pdf",
				Name: "refund-form.pdf", ContentType: "application/pdf", SizeBytes: 48213,
			}},
		}),
		"webhook.incoming_event.file_image.human_agent": one(handoff.DeskEvent{
			Kind: handoff.DeskMessage, ID: "TB2THREAD1_7", At: said0, Attachments: []handoff.Attachment{{
				URL:  "https://cdn.livechat-files.com/api/file/lc/main/1002003/0/ec/screen.png",
				Name: "screen.png", ContentType: "image/png", SizeBytes: 20481,
			}},
		}),
		"webhook.incoming_event.filled_form.customer":                  nil,
		"webhook.incoming_event.message.agents_only_must_be_ignored":   nil,
		"webhook.incoming_event.message.bot_author":                    nil,
		"webhook.incoming_event.message.customer_echo_must_be_ignored": nil,
		"webhook.incoming_event.message.human_agent": one(handoff.DeskEvent{
			Kind: handoff.DeskMessage, ID: "TB2THREAD1_3", At: said0, Text: "Hi Robin, I am Dana & I can help.\nWhich order is it?",
		}),
		"webhook.incoming_event.rich_message.human_agent": one(handoff.DeskEvent{
			Kind: handoff.DeskMessage, ID: "TB2THREAD1_8", At: said0, Text: "Which order?\n- 1182\n- 1190",
		}),
		"webhook.incoming_event.system_message.manual_archived_agent":     nil,
		"webhook.incoming_event.system_message.routing_archived_inactive": nil,
		"webhook.routing_status_set":                                      nil,
		"webhook.user_added_to_chat.agent":                                one(handoff.DeskEvent{Kind: handoff.DeskJoined, OperatorName: "Dana Helper"}),
		"webhook.user_removed_from_chat.bot":                              nil,
	}
	d := newAccount(t, simulator.Options{}).external(t, nil)
	tried := 0
	files, err := os.ReadDir("testdata")
	require.NoError(t, err)
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".json")
		if !strings.HasPrefix(name, "webhook.") && !strings.HasPrefix(name, "appwebhook.") {
			continue
		}
		tried++
		events, known := want[name]
		require.True(t, known, "what does %s mean?", name)
		got, err := d.Receive(t.Context(), inbound(sample(t, f.Name())))
		require.NoError(t, err, name)
		require.Equal(t, events, got, name)
	}
	require.Len(t, want, tried)
}

func TestReceiveChecksTheSecretKey(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	body := string(sample(t, "webhook.incoming_event.message.human_agent.json"))
	for name, c := range map[string]struct {
		body string
		kind fault.Kind
	}{
		"right":     {body, ""},
		"wrong":     {strings.Replace(body, secret, "wh-secret-4c1c", 1), fault.Unauthenticated},
		"cut":       {strings.Replace(body, secret, secret[:10], 1), fault.Unauthenticated},
		"empty":     {strings.Replace(body, secret, "", 1), fault.Unauthenticated},
		"no string": {strings.Replace(body, `"`+secret+`"`, "7", 1), fault.InvalidInput},
	} {
		_, err := a.external(t, nil).Receive(t.Context(), inbound([]byte(c.body)))
		require.Equal(t, c.kind, fault.KindOf(err), name)
		_, err = a.inside(t, nil).Receive(t.Context(), inbound([]byte(c.body)))
		require.Equal(t, c.kind, fault.KindOf(err), name)
	}
	got, err := a.external(t, map[string]string{fieldOrganizationID: "00000000-3e2f-4a1b-8c9d-0e1f2a3b4c5d"}).Receive(t.Context(), inbound([]byte(body)))
	require.NoError(t, err)
	require.Empty(t, got, "another organization")
}

func TestReceiveRefusesOddPayloads(t *testing.T) {
	t.Parallel()
	d := newAccount(t, simulator.Options{}).external(t, nil)
	for _, payload := range []string{
		`null`, `{}`, `7`, `{"chat_id":"../x","thread_id":"TB1","event":{"id":"e"}}`, `{"chat_id":"TA1","thread_id":"T/B","event":{"id":"e"}}`,
		`{"chat_id":"TA1","thread_id":"TB1"}`, `{"chat_id":"TA1","thread_id":"TB1","event":{"id":"a b","author_id":"x@example.com"}}`,
	} {
		body := `{"action":"incoming_event","secret_key":"` + secret + `","organization_id":"7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d","payload":` + payload + `}`
		_, err := d.Receive(t.Context(), inbound([]byte(body)))
		require.Equal(t, fault.InvalidInput, fault.KindOf(err), payload)
	}
}

// What an event says, whatever is in it.
func TestSaid(t *testing.T) {
	t.Parallel()
	long := "https://x/" + strings.Repeat("a", handoff.MaxAttachmentURLBytes)
	for name, c := range map[string]struct {
		event string
		text  string
		files int
	}{
		"text":             {`{"type":"message","text":" a\r\nb\u0000 "}`, "a\nb", 0},
		"file":             {`{"type":"file","url":"https://x/y","name":"a\nb","size":-1}`, "", 1},
		"address too long": {`{"type":"file","url":"` + long + `"}`, long, 0},
		"no address":       {`{"type":"file","url":"javascript:x"}`, "javascript:x", 0},
		"cards": {`{"type":"rich_message","elements":[{"title":"T","subtitle":"S","image":{"url":"https://x/i.png"},"buttons":[
			{"text":"Go","type":"url","value":"https://x/go"},{"type":"url","value":"https://x/only"},{"text":"Say","value":"x"},{}]},{},{"title":"U"}]}`,
			"T\nS\nhttps://x/i.png\n- Go (https://x/go)\n- (https://x/only)\n- Say\n\nU", 0},
		"form":    {`{"type":"filled_form","text":"x"}`, "", 0},
		"system":  {`{"type":"system_message","text":"x"}`, "", 0},
		"nothing": {`{"type":"rich_message"}`, "", 0},
	} {
		var e event
		require.NoError(t, json.Unmarshal([]byte(c.event), &e), name)
		text, files := said(&e)
		require.Equal(t, c.text, text, name)
		require.Len(t, files, c.files, name)
		require.NoError(t, handoff.ValidAttachments("attachments", files), name)
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"2026-09-24T10:00:41.512000Z":      said0,
		"2026-09-24T12:00:41.512000+02:00": said0,
		"":                                 received,
		"yesterday":                        received,
		"1969-12-31T23:59:59Z":             received,
		"2027-01-01T00:00:00Z":             received,
	} {
		require.Equal(t, want, at(text, received), text)
	}
}

// The whole of it with a scripted agent: what the User is told, and nothing else.
func TestWhatTheUserIsTold(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]map[string]string{"secret key": nil, "hints": {fieldWebhookSecret: ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hints := name == "hints"
			a := newAccount(t, simulator.Options{})
			d := a.external(t, fields)
			ref := open(t, d, openRequest())
			_, err := d.Send(t.Context(), sendRequest(ref, "dlv_2", "an echo"))
			require.NoError(t, err)
			for _, n := range a.Notifications() {
				require.Empty(t, receive(t, d, n), "our own %s", n.Action)
			}
			chat := a.Chats()[0].ID
			do := func(n simulator.Notification, err error) []handoff.DeskEvent {
				t.Helper()
				require.NoError(t, err)
				list := receive(t, d, n)
				for i := range list {
					require.Equal(t, ref, list[i].Ref)
					require.NotContains(t, list[i].OperatorName, "@")
				}
				return list
			}
			got := do(a.Join(chat, simulator.Dana))
			require.Equal(t, handoff.DeskJoined, got[0].Kind)
			require.Equal(t, "Dana Helper", got[0].OperatorName)
			require.Empty(t, do(a.Whisper(chat, simulator.Dana, "a whisper")))
			require.Empty(t, do(a.Answer(chat, simulator.Bot, "a bot")))
			got = do(a.Answer(chat, simulator.Dana, "Hello <b>&amp;</b>!"))
			require.Equal(t, handoff.DeskMessage, got[0].Kind)
			require.Equal(t, "Hello <b>&amp;</b>!", got[0].Text)
			require.NotEmpty(t, got[0].ID)
			got = do(a.SendFile(chat, simulator.Dana, simulator.File{Name: "a.png", URL: "https://cdn.example.com/a.png", ContentType: "image/png"}))
			require.Equal(t, []handoff.Attachment{{URL: "https://cdn.example.com/a.png", Name: "a.png", ContentType: "image/png"}}, got[len(got)-1].Attachments)
			got = do(a.SendCards(chat, simulator.Dana, `[{"title":"Which?","buttons":[{"text":"This"}]}]`))
			require.Equal(t, "Which?\n- This", got[len(got)-1].Text)
			if seen := do(a.Seen(chat, simulator.Dana)); !hints {
				require.Equal(t, handoff.DeskRead, seen[0].Kind)
			}
			if queued := do(a.Queue(chat)); !hints {
				require.Equal(t, handoff.DeskQueued, queued[0].Kind)
				require.Equal(t, 1, queued[0].QueuePlace)
			}
			if taken := do(a.Transfer(chat, simulator.Lee)); !hints {
				require.Equal(t, handoff.DeskJoined, taken[0].Kind)
			}
			require.Empty(t, receive(t, d, a.Installed()))
			got = do(a.Idle(chat))
			require.Equal(t, handoff.DeskEnded, got[len(got)-1].Kind)
		})
	}
}

// An end that overtakes what was said before it loses nothing.
func TestTheEndOvertakes(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]map[string]string{"secret key": nil, "hints": {fieldWebhookSecret: ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, simulator.Options{})
			d := a.external(t, fields)
			open(t, d, openRequest())
			chat := a.Chats()[0]
			said, err := a.Answer(chat.ID, simulator.Dana, "Bye!")
			require.NoError(t, err)
			end, err := a.Close(chat.ID, simulator.Dana)
			require.NoError(t, err)
			got := receive(t, d, end)
			require.Equal(t, []string{"MESSAGE " + chat.Threads[0].ID + "_3", "ENDED ended"}, ids(got))
			require.Equal(t, ids(receive(t, d, said)), ids(got[:1]), "the same id, so that it is dropped")
		})
	}
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	open(t, d, openRequest())
	end, err := a.Close(a.Chats()[0].ID, simulator.Dana)
	require.NoError(t, err)
	a.Fail(failing(-1, "get_chat", simulator.Failure{Status: 500}))
	require.Equal(t, []string{"ENDED ended"}, ids(receive(t, d, end)), "what cannot be read holds up no end")
}

// A bot that was told of is known when its thread is read.
func TestHintsKnowBots(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, map[string]string{fieldWebhookSecret: ""})
	ref := open(t, d, openRequest())
	n, err := a.Answer(a.Chats()[0].ID, simulator.Bot, "a bot")
	require.NoError(t, err)
	require.Empty(t, receive(t, d, n))
	missed, err := d.Missed(t.Context(), ref, start)
	require.NoError(t, err)
	require.Empty(t, missed)

	// Somebody who knows no session of ours makes nobody a bot.
	other := a.external(t, map[string]string{fieldWebhookSecret: ""})
	n.Body = []byte(strings.ReplaceAll(strings.ReplaceAll(string(n.Body), simulator.Bot.ID, strings.Repeat("a", 32)), a.Chats()[0].ID, "TAELSE"))
	require.Empty(t, receive(t, other, n))
	_, version, err := a.memory.Get(t.Context(), d.botKey(strings.Repeat("a", 32)))
	require.NoError(t, err)
	require.Zero(t, version)
}

// A hint about an event brings what the same agent said before it, in order.
func TestHintsAreOrdered(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, map[string]string{fieldWebhookSecret: ""})
	open(t, d, openRequest())
	chat := a.Chats()[0].ID
	for _, by := range []simulator.Agent{simulator.Dana, simulator.Bot, simulator.Lee} {
		_, err := a.Answer(chat, by, "by "+by.Name)
		require.NoError(t, err)
	}
	second, err := a.Answer(chat, simulator.Dana, "second")
	require.NoError(t, err)
	_, err = a.Answer(chat, simulator.Dana, "third")
	require.NoError(t, err)
	var got []string
	for _, e := range receive(t, d, second) {
		got = append(got, e.Text)
	}
	require.Equal(t, []string{"by Dana Helper", "second"}, got)
}

// Nothing is kept of a stranger whose session the desk has ended.
func TestStrangersEndedByTheDesk(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]map[string]string{"secret key": nil, "hints": {fieldWebhookSecret: ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, simulator.Options{})
			d := a.external(t, fields)
			r := opening("hof_1", handoff.User{})
			ref := open(t, d, r)
			n, err := a.Close(a.Chats()[0].ID, simulator.Dana)
			require.NoError(t, err)
			require.Equal(t, []string{"ENDED ended"}, ids(receive(t, d, n)))
			key, _ := d.identityKey(&r, 1)
			_, version, err := a.memory.Get(t.Context(), key)
			require.NoError(t, err)
			require.Zero(t, version)
			ended, err := d.Missed(t.Context(), ref, start)
			require.NoError(t, err)
			require.Equal(t, []string{"ENDED ended"}, ids(ended), "should the first one have been lost")
		})
	}
}

// Without a secret key nothing is believed that LiveChat does not confirm.
func TestHintsAreNotBelieved(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, map[string]string{fieldWebhookSecret: ""})
	open(t, d, openRequest())
	chat := a.Chats()[0]
	real, err := a.Answer(chat.ID, simulator.Dana, "real")
	require.NoError(t, err)
	forged := func(body string) []handoff.DeskEvent {
		t.Helper()
		return receive(t, d, simulator.Notification{Body: []byte(body)})
	}
	body := string(real.Body)
	require.Equal(t, "real", forged(strings.Replace(body, `"text":"real"`, `"text":"forged"`, 1))[0].Text, "the text is LiveChat's")
	eventID := chat.Threads[0].ID + "_3"
	require.Contains(t, body, eventID)
	require.Empty(t, forged(strings.Replace(body, eventID, chat.Threads[0].ID+"_9", 1)), "no such event")
	require.Empty(t, forged(strings.Replace(body, eventID, chat.Threads[0].ID+"_1", 1)), "an event of the customer")
	before := len(a.Requests())
	require.Empty(t, forged(strings.ReplaceAll(body, chat.ID, "TAELSE")), "another chat")
	require.Empty(t, forged(strings.ReplaceAll(body, chat.Threads[0].ID, "TBELSE")), "another thread")
	require.Len(t, a.Requests(), before, "chats that are not ours cost no call")
	ended := `{"action":"chat_deactivated","organization_id":"7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d","payload":{"chat_id":"` + chat.ID + `","thread_id":"` + chat.Threads[0].ID + `"}}`
	require.Empty(t, forged(ended), "still active")
	_, err = a.Close(chat.ID, simulator.Dana)
	require.NoError(t, err)
	require.Equal(t, []string{"MESSAGE " + eventID, "ENDED ended"}, ids(forged(ended)))

	// What cannot be read is told to be repeated.
	a.Fail(failing(1, "get_chat", simulator.Failure{Status: 500}))
	_, err = d.Receive(t.Context(), desk.Inbound{Body: real.Body, ReceivedAt: start})
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
}

// An agent who never joined has a name all the same; it is asked for once.
func TestNames(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	open(t, d, openRequest())
	chat := a.Chats()[0].ID
	say := func() string {
		n, err := a.Answer(chat, simulator.Dana, "Hello!")
		require.NoError(t, err)
		return receive(t, d, n)[0].OperatorName
	}
	a.Fail(failing(1, "get_chat", simulator.Failure{Status: 500}))
	require.Empty(t, say(), "not now")
	require.Equal(t, "Dana Helper", say())
	before := len(a.Requests())
	require.Equal(t, "Dana Helper", say())
	require.Len(t, a.Requests(), before)
	n, err := a.Join(chat, simulator.Lee)
	require.NoError(t, err)
	receive(t, d, n)
	n, err = a.Answer(chat, simulator.Lee, "Me too")
	require.NoError(t, err)
	require.Equal(t, "Lee", receive(t, d, n)[0].OperatorName)
	require.Len(t, a.Requests(), before)
}

// What a webhook did not tell is found by reading, under the same ids.
func TestMissed(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	ref := open(t, d, openRequest())
	chat := a.Chats()[0].ID
	var told []handoff.DeskEvent
	for _, text := range []string{"one", "two"} {
		a.clock.Add(time.Minute)
		n, err := a.Answer(chat, simulator.Dana, text)
		require.NoError(t, err)
		told = append(told, receive(t, d, n)...)
	}
	_, err := a.Whisper(chat, simulator.Lee, "a whisper")
	require.NoError(t, err)
	bot, err := a.Answer(chat, simulator.Bot, "a bot")
	require.NoError(t, err)
	require.Empty(t, receive(t, a.external(t, nil), bot), "another replica learns it")
	missed, err := d.Missed(t.Context(), ref, start)
	require.NoError(t, err)
	for i := range missed {
		require.Equal(t, "Dana Helper", missed[i].OperatorName)
		missed[i].OperatorName = ""
	}
	require.Equal(t, ids(told), ids(missed))
	later, err := d.Missed(t.Context(), ref, a.clock.Now())
	require.NoError(t, err)
	require.Equal(t, ids(told[1:]), ids(later))

	_, err = a.Idle(chat)
	require.NoError(t, err)
	ended, err := d.Missed(t.Context(), ref, a.clock.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, []string{"ENDED ended"}, ids(ended))
	for _, ref := range []string{"", "TA1/TB1"} {
		ended, err = d.Missed(t.Context(), ref, start)
		require.NoError(t, err)
		require.Equal(t, []string{"ENDED ended"}, ids(ended))
	}
}

func ids(list []handoff.DeskEvent) []string {
	var all []string
	for _, e := range list {
		all = append(all, string(e.Kind)+" "+e.ID)
	}
	return all
}

func FuzzReceive(f *testing.F) {
	files, err := os.ReadDir("testdata")
	require.NoError(f, err)
	for _, file := range files {
		if strings.Contains(file.Name(), "webhook") {
			f.Add(sample(f, file.Name()))
		}
	}
	a := newAccount(f, simulator.Options{})
	external, inside := a.external(f, nil), a.inside(f, nil)
	hints := a.external(f, map[string]string{fieldWebhookSecret: ""})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, d := range []desk.Desk{external, inside, hints} {
			list, err := d.Receive(t.Context(), inbound(body))
			if err != nil {
				require.Contains(t, []fault.Kind{fault.InvalidInput, fault.Unauthenticated, fault.DeskGone}, fault.KindOf(err))
				require.Empty(t, list)
			}
			for i := range list {
				_, _, ok := splitRef(list[i].Ref)
				require.True(t, ok)
				require.NotContains(t, list[i].Text, "\x00")
				require.NoError(t, handoff.ValidAttachments("attachments", list[i].Attachments))
			}
		}
	})
}
