package livechat

import (
	"io"
	"net/http"
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

// visit is a customer in LiveChat's messenger whom the Agent answers.
func visit(t *testing.T, a *account) (chatID, ref string, n simulator.Notification) {
	t.Helper()
	chatID, n = a.Visit("Robin Buyer", "robin@example.com", "I was charged twice", simulator.Seat)
	return chatID, newRef(chatID, a.Chats()[len(a.Chats())-1].Threads[0].ID), n
}

func takeover(ref string) desk.OpenRequest {
	r := openRequest()
	r.ProposedRef, r.Channel = ref, handoff.ChannelLiveChat
	return r
}

func sayRequest(ref, delivery, text string, files ...handoff.Attachment) desk.SayRequest {
	return desk.SayRequest{
		Attempt: desk.Attempt{DeliveryID: delivery, At: start}, Ref: ref, Author: handoff.AuthorAgent,
		Text: desk.Text{Body: text, Attachments: files},
	}
}

func (a *account) lastEvent(chat string) simulator.Event {
	for _, c := range a.Chats() {
		if c.ID == chat {
			events := c.Threads[len(c.Threads)-1].Events
			return events[len(events)-1]
		}
	}
	return simulator.Event{}
}

func (a *account) present(chat string) []string {
	var list []string
	for _, c := range a.Chats() {
		if c.ID == chat {
			for _, p := range c.Threads[len(c.Threads)-1].Present {
				list = append(list, p.ID)
			}
		}
	}
	return list
}

// The whole way: the User writes, the Agent answers, people take over and give back.
func TestTakeover(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, nil)
	do := func(n simulator.Notification, err error) []handoff.DeskEvent {
		t.Helper()
		require.NoError(t, err)
		return receive(t, d, n)
	}
	chat, ref, hook := visit(t, a)
	got := receive(t, d, hook)
	require.Len(t, got, 1)
	require.Equal(t, handoff.DeskUserWrote, got[0].Kind)
	require.Equal(t, ref, got[0].Ref)
	require.Equal(t, "I was charged twice", got[0].Text)
	customer := a.Customers()[0]
	require.Equal(t, handoff.User{AnonymousID: customer.ID, Name: "Robin Buyer", Email: "robin@example.com"}, got[0].User)

	_, err := d.Say(t.Context(), sayRequest(ref, "dlv_0", "Let me check."))
	require.NoError(t, err)
	require.Equal(t, simulator.Seat.ID, a.lastEvent(chat).Author)
	require.Equal(t, "all", a.lastEvent(chat).Visibility)
	for _, n := range a.Notifications()[1:] {
		require.Empty(t, receive(t, d, n), "an echo")
	}
	got = do(a.Write(chat, "A human, please"))
	require.Equal(t, handoff.DeskUserWrote, got[0].Kind)
	got = do(a.WriteFile(chat, simulator.File{Name: "a.png", URL: "https://cdn.example.com/a.png", ContentType: "image/png"}))
	require.Len(t, got, 2, "with what is not answered")
	require.Equal(t, "https://cdn.example.com/a.png", got[1].Attachments[0].URL)

	a.Notifications()
	opened, err := d.Open(t.Context(), takeover(ref))
	require.NoError(t, err)
	require.Equal(t, ref, opened.Ref)
	require.Equal(t, []string{simulator.Dana.ID}, a.present(chat), "one speaker")
	context := a.lastEvent(chat)
	require.Equal(t, "agents", context.Visibility)
	require.Contains(t, context.Text, "Note: Be kind.")
	require.NotContains(t, context.Text, "[Conversation history]", "they read it where it is")
	hooks := a.Notifications()
	require.Empty(t, receive(t, d, hooks[0]), "our whisper")
	require.Equal(t, handoff.DeskJoined, receive(t, d, hooks[1])[0].Kind)

	got = do(a.Answer(chat, simulator.Dana, "Hello!"))
	require.Equal(t, handoff.DeskMessage, got[0].Kind)
	require.Equal(t, "Hello!", got[0].Text)
	require.Equal(t, "Dana Helper", got[0].OperatorName)
	require.Empty(t, do(a.Whisper(chat, simulator.Dana, "a whisper")))
	require.Empty(t, do(a.Answer(chat, simulator.Bot, "a bot")))
	require.Equal(t, handoff.DeskUserWrote, do(a.Write(chat, "Thanks"))[0].Kind, "known, for the transcript")
	_, err = d.Say(t.Context(), sayRequest(ref, "dlv_2", "me too"))
	require.Equal(t, fault.DeskRejected, fault.KindOf(err), "never two speakers")
	require.Contains(t, err.Error(), "not in this chat")

	got = do(a.Transfer(chat, simulator.Seat))
	require.Equal(t, handoff.DeskEnded, got[0].Kind, "given back")
	require.NoError(t, d.Close(t.Context(), closeRequest(ref)))
	require.Equal(t, []string{simulator.Seat.ID}, a.present(chat))
	require.Equal(t, handoff.DeskEnded, do(a.Close(chat, simulator.Dana))[0].Kind)
}

// The end on our side takes the chat back from the people, and the User stays.
func TestTakingBack(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, nil)
	chat, ref, _ := visit(t, a)
	open(t, d, takeover(ref))
	for range 2 {
		require.NoError(t, d.Close(t.Context(), closeRequest(ref)))
		require.Equal(t, []string{simulator.Seat.ID}, a.present(chat))
	}
	_, err := d.Say(t.Context(), sayRequest(ref, "dlv_2", "I am back."))
	require.NoError(t, err)
	_, err = a.Close(chat, simulator.Dana)
	require.NoError(t, err)
	require.NoError(t, d.Close(t.Context(), closeRequest(ref)), "ended is what we wanted")
	require.NoError(t, d.Close(t.Context(), closeRequest("TA1/TB1")))
	_, err = d.Say(t.Context(), sayRequest(ref, "dlv_3", "late"))
	require.Equal(t, fault.DeskGone, fault.KindOf(err))
}

// Chats of other agents of the account are nobody's business here.
func TestOthersChats(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, nil)
	chat, hook := a.Visit("Ann", "", "Hello Dana", simulator.Dana)
	require.Empty(t, receive(t, d, hook))
	for _, act := range []func() (simulator.Notification, error){
		func() (simulator.Notification, error) { return a.Write(chat, "hello?") },
		func() (simulator.Notification, error) { return a.Answer(chat, simulator.Dana, "Hello!") },
		func() (simulator.Notification, error) { return a.Join(chat, simulator.Lee) },
	} {
		n, err := act()
		require.NoError(t, err)
		require.Empty(t, receive(t, d, n))
	}
	require.Empty(t, a.Requests(), "and cost no call")
}

// A webhook without the list of who is there makes the desk look.
func TestWithoutPresence(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, nil)
	strip := func(n simulator.Notification) simulator.Notification {
		body := string(n.Body)
		i := strings.Index(body, `"chat_presence_user_ids":[`)
		j := i + strings.Index(body[i:], "]")
		n.Body = []byte(body[:i] + `"chat_presence_user_ids":[` + body[j:])
		return n
	}
	for to, want := range map[string]int{simulator.Seat.ID: 2, simulator.Dana.ID: 0} {
		agent := map[string]simulator.Agent{simulator.Seat.ID: simulator.Seat, simulator.Dana.ID: simulator.Dana}[to]
		chat, _ := a.Visit("Ann", "", "Hello", agent)
		n, err := a.Write(chat, "more")
		require.NoError(t, err)
		require.Len(t, receive(t, d, strip(n)), want, to)
	}
}

// A webhook brings what the Agent has not answered before it, in order, whether its
// webhook got lost or comes later; and who asks.
func TestUnansweredQuestions(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, nil)
	heard := func(n simulator.Notification, err error) (list []string) {
		t.Helper()
		require.NoError(t, err)
		for _, e := range receive(t, d, n) {
			require.Equal(t, handoff.DeskUserWrote, e.Kind)
			require.Equal(t, "Robin Buyer", e.User.Name)
			list = append(list, e.Text)
		}
		return list
	}
	chat, ref, _ := visit(t, a) // its webhook is lost
	second, err := a.Write(chat, "second")
	require.NoError(t, err)
	require.Equal(t, []string{"I was charged twice", "second", "third"}, heard(a.Write(chat, "third")))
	require.Equal(t, []string{"I was charged twice", "second"}, heard(second, nil), "it is late, and nothing after it is told")
	_, err = d.Say(t.Context(), sayRequest(ref, "dlv_0", "Let me check."))
	require.NoError(t, err)
	require.Equal(t, []string{"fourth"}, heard(a.Write(chat, "fourth")))

	n, err := a.Write(chat, "fifth")
	require.NoError(t, err)
	a.Fail(failing(1, "get_chat", simulator.Failure{Status: 503, Type: "service_unavailable"}))
	got := receive(t, d, n)
	require.Len(t, got, 1, "a reading that fails holds up nothing")
	require.Equal(t, "fifth", got[0].Text)
}

// The next thread of the same customer is another session.
func TestNextThread(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, nil)
	chat, ref, _ := visit(t, a)
	open(t, d, takeover(ref))
	_, err := a.Idle(chat)
	require.NoError(t, err)
	n, err := a.Return(chat, "again", simulator.Seat)
	require.NoError(t, err)
	got := receive(t, d, n)
	require.NotEqual(t, ref, got[0].Ref)
	_, err = d.Open(t.Context(), takeover(ref))
	require.Equal(t, fault.DeskGone, fault.KindOf(err), "the old one is over")
	ended, err := d.Missed(t.Context(), ref, start)
	require.NoError(t, err)
	require.Equal(t, handoff.DeskEnded, ended[len(ended)-1].Kind)
}

func TestTakeoverWhenNobodyIsThere(t *testing.T) {
	t.Parallel()
	for offline, refused := range map[string]bool{offlineWait: false, offlineFail: true} {
		t.Run(offline, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, simulator.Options{})
			a.SetOffline(true)
			d := a.inside(t, map[string]string{fieldWhenOffline: offline})
			chat, ref, _ := visit(t, a)
			_, err := d.Open(t.Context(), takeover(ref))
			if refused {
				require.Equal(t, fault.DeskRejected, fault.KindOf(err))
				require.Contains(t, err.Error(), "nobody of the group takes chats")
				require.Equal(t, []string{simulator.Seat.ID}, a.present(chat), "the Agent goes on")
				return
			}
			require.NoError(t, err)
			require.Empty(t, a.present(chat))
			n := a.Notifications()
			queued := receive(t, d, n[len(n)-1])
			require.Equal(t, handoff.DeskQueued, queued[0].Kind)
			require.Equal(t, 1, queued[0].QueuePlace)
		})
	}
}

// Somebody who took the chat from the Agent has it, without being asked to.
func TestTakenAlready(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, nil)
	chat, ref, hook := visit(t, a)
	require.Len(t, receive(t, d, hook), 1)
	n, err := a.Transfer(chat, simulator.Lee)
	require.NoError(t, err)
	require.Equal(t, handoff.DeskJoined, receive(t, d, n)[0].Kind)
	n, err = a.Answer(chat, simulator.Lee, "Hello!")
	require.NoError(t, err)
	require.Equal(t, handoff.DeskMessage, receive(t, d, n)[0].Kind)
	open(t, d, takeover(ref))
	require.Equal(t, []string{simulator.Lee.ID}, a.present(chat))

	n, err = a.Close(chat, simulator.Lee)
	require.NoError(t, err)
	require.Equal(t, handoff.DeskEnded, receive(t, d, n)[0].Kind)
	_, version, err := a.memory.Get(t.Context(), d.sessionKey(ref))
	require.NoError(t, err)
	require.Zero(t, version, "nothing is kept of it")
}

// A person who writes beside the Agent has the word; what there is to do is the core's.
func TestHumanBesideTheAgent(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, nil)
	chat, ref, _ := visit(t, a)
	n, err := a.Answer(chat, simulator.Dana, "Let me")
	require.NoError(t, err)
	require.Equal(t, handoff.DeskMessage, receive(t, d, n)[0].Kind)
	missed, err := d.Missed(t.Context(), ref, start.Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, missed, "not the end: the person is there")
}

// What goes wrong at LiveChat, for everything that is done from the seat.
func TestInsideTrouble(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failure simulator.Failure
		kind    fault.Kind
		sent    fault.Stage
	}{
		"401":       {simulator.Failure{Status: 401}, fault.DeskUnauthorized, fault.Sent},
		"403":       {simulator.Failure{Status: 403, Type: "authorization"}, fault.DeskUnauthorized, fault.Sent},
		"404":       {simulator.Failure{Status: 404}, fault.DeskGone, fault.Sent},
		"inactive":  {simulator.Failure{Status: 400, Type: "chat_inactive"}, fault.DeskGone, fault.Sent},
		"429":       {simulator.Failure{Status: 429, Type: "too_many_requests"}, fault.DeskRateLimited, fault.Sent},
		"500":       {simulator.Failure{Status: 500, Type: "internal"}, fault.DeskUnavailable, fault.Sent},
		"timeout":   {simulator.Failure{Status: 504, Type: "request_timeout"}, fault.DeskUnavailable, fault.MaybeSent},
		"no answer": {simulator.Failure{}, fault.DeskUnavailable, fault.MaybeSent},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, simulator.Options{})
			d := a.inside(t, nil)
			_, ref, _ := visit(t, a)
			open(t, d, takeover(ref))
			_, other, _ := visit(t, a)
			a.Fail(func(*http.Request) *simulator.Failure { return &c.failure })
			_, openErr := d.Open(t.Context(), takeover(other))
			_, sayErr := d.Say(t.Context(), sayRequest(other, "dlv_s", "my parcel is late"))
			closeErr := d.Close(t.Context(), closeRequest(ref))
			if c.kind == fault.DeskGone {
				require.NoError(t, closeErr, "ended is what we wanted")
				closeErr = sayErr
			}
			for _, err := range []error{openErr, sayErr, closeErr} {
				require.Equal(t, c.kind, fault.KindOf(err))
				require.Equal(t, c.sent, fault.As(err).Sent)
				require.NotContains(t, err.Error(), "parcel")
			}
		})
	}
}

// Wherever a takeover is cut off, its repeat says nothing twice.
func TestTakeoverIsCompleted(t *testing.T) {
	t.Parallel()
	for _, action := range []string{"get_chat", "send_event", "transfer_chat"} {
		for _, done := range []bool{false, true} {
			t.Run(action+map[bool]string{true: " done"}[done], func(t *testing.T) {
				t.Parallel()
				a := newAccount(t, simulator.Options{})
				d := a.inside(t, nil)
				chat, ref, _ := visit(t, a)
				a.Fail(failing(1, action, simulator.Failure{Done: done}))
				_, err := d.Open(t.Context(), takeover(ref))
				require.Error(t, err)
				require.Equal(t, ref, again(t, d, takeover(ref)))
				require.Equal(t, ref, again(t, d, takeover(ref)), "and once more")
				require.Equal(t, []string{simulator.Dana.ID}, a.present(chat))
				require.Len(t, a.Chats()[0].Threads[0].Events, 2, "the question and the context")
			})
		}
	}
}

func TestSayIsCompleted(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	a.files = loopback(t)
	base := fileServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "picture") })
	d := a.inside(t, nil)
	_, ref, _ := visit(t, a)
	r := sayRequest(ref, "dlv_2", "see", handoff.Attachment{URL: base + "/a.png"})
	a.Fail(failing(1, "upload_file", simulator.Failure{Status: 500}))
	_, err := d.Say(t.Context(), r)
	require.Equal(t, fault.MaybeSent, fault.As(err).Sent)
	r.Repeat = true
	_, found, err := d.FindSaid(t.Context(), r)
	require.NoError(t, err)
	require.False(t, found)
	_, err = d.Say(t.Context(), r)
	require.NoError(t, err)
	events := a.Chats()[0].Threads[0].Events[1:]
	require.Len(t, events, 2)
	require.Equal(t, "see", events[0].Text)
	require.Equal(t, "file", events[1].Type)
	sent, found, err := d.FindSaid(t.Context(), r)
	require.NoError(t, err)
	require.True(t, found)
	require.Equal(t, events[1].ID, sent.ID)
	_, err = d.Say(t.Context(), sayRequest("x", "dlv_3", "hello"))
	require.Equal(t, fault.DeskGone, fault.KindOf(err))
}

func TestInsideMissed(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, nil)
	chat, ref, hook := visit(t, a)
	told := receive(t, d, hook)
	open(t, d, takeover(ref))
	a.clock.Add(time.Minute)
	for _, act := range []func() (simulator.Notification, error){
		func() (simulator.Notification, error) { return a.Answer(chat, simulator.Dana, "Hello!") },
		func() (simulator.Notification, error) { return a.Answer(chat, simulator.Bot, "a bot") },
		func() (simulator.Notification, error) { return a.Write(chat, "Thanks") },
	} {
		n, err := act()
		require.NoError(t, err)
		told = append(told, receive(t, d, n)...)
	}
	missed, err := d.Missed(t.Context(), ref, start)
	require.NoError(t, err)
	require.Equal(t, ids(told), ids(missed))
	require.Equal(t, "Dana Helper", missed[1].OperatorName)
	_, err = a.Transfer(chat, simulator.Seat)
	require.NoError(t, err)
	missed, err = d.Missed(t.Context(), ref, a.clock.Now().Add(time.Hour))
	require.NoError(t, err)
	require.Equal(t, []string{"ENDED ended"}, ids(missed), "given back")
	missed, err = d.Missed(t.Context(), "x", start)
	require.NoError(t, err)
	require.Equal(t, []string{"ENDED ended"}, ids(missed))
}

// The documented webhooks, and what they mean to the agent whose chat it is.
func TestInsideReceiveSamples(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, map[string]string{fieldAgentEmail: "Dana@example.com"}) // upper and lower case are the same
	want := map[string][]string{
		"webhook.chat_deactivated.by_agent":                            {"ENDED ended"},
		"webhook.chat_deactivated.by_customer":                         {"ENDED ended"},
		"webhook.chat_deactivated.by_router":                           {"ENDED ended"},
		"webhook.chat_transferred.queued":                              {"QUEUED "},
		"webhook.chat_transferred.to_agent":                            {"ENDED ended"},
		"webhook.incoming_chat":                                        {"USER_WROTE TB2THREAD1_1"},
		"webhook.incoming_event.message.customer_echo_must_be_ignored": {"USER_WROTE TB2THREAD1_4"},
	}
	files, err := os.ReadDir("testdata")
	require.NoError(t, err)
	tried := 0
	for _, f := range files {
		name := strings.TrimSuffix(f.Name(), ".json")
		if !strings.HasPrefix(name, "webhook.") && !strings.HasPrefix(name, "appwebhook.") {
			continue
		}
		tried++
		got, err := d.Receive(t.Context(), inbound(sample(t, f.Name())))
		require.NoError(t, err, name)
		require.Equal(t, want[name], ids(got), name)
		for _, e := range got {
			require.Equal(t, theRef, e.Ref, name)
		}
	}
	require.Greater(t, tried, 20)
}

func TestWhoIs(t *testing.T) {
	t.Parallel()
	got := whoIs(&user{
		ID: "c1", Name: " Robin\n", Email: "no address", SessionFields: []map[string]any{{"user_id": "member-20417"}, {"x": 7}, {"user_id": 7}},
	})
	require.Equal(t, handoff.User{ID: "member-20417", AnonymousID: "c1", Name: "Robin"}, got)
}

func TestInsideVerify(t *testing.T) {
	t.Parallel()
	alone := []simulator.Agent{simulator.Seat, {ID: "x@example.com", Groups: []int{7}}}
	for name, c := range map[string]struct {
		options simulator.Options
		fields  map[string]string
		kind    fault.Kind
		says    string
	}{
		"fine":           {},
		"bad token":      {fields: map[string]string{fieldToken: "x"}, kind: fault.DeskUnauthorized, says: "token"},
		"no such group":  {fields: map[string]string{fieldHumanGroupID: "77"}, kind: fault.DeskRejected, says: "no group 77"},
		"seat among":     {fields: map[string]string{fieldHumanGroupID: "5"}, kind: fault.DeskRejected, says: "take it out"},
		"nobody in it":   {options: simulator.Options{Agents: alone}, fields: map[string]string{fieldHumanGroupID: "0"}, kind: fault.DeskRejected, says: "take it out"},
		"another region": {options: simulator.Options{Region: "fra"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, c.options)
			err := a.inside(t, c.fields).Verify(t.Context())
			require.Equal(t, c.kind, fault.KindOf(err), err)
			if c.says != "" {
				require.Contains(t, err.Error(), c.says)
			}
		})
	}
}

// The User's own messages need no bringing.
func TestInsideHasNothingToSend(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.inside(t, nil)
	_, err := d.Send(t.Context(), sendRequest(theRef, "dlv_1", "x"))
	require.NoError(t, err)
	_, found, err := d.FindSent(t.Context(), sendRequest(theRef, "dlv_1", "x"))
	require.NoError(t, err)
	require.True(t, found)
	require.NoError(t, d.SendRead(t.Context(), theRef))
	require.Empty(t, a.Requests())
}
