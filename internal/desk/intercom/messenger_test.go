package intercom

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/intercom/simulator"
	"handoff/internal/desk/intercom/simulator/contract"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// messenger is a simulator with a desk in DESK_TO_DESK, and the events that it heard.
type messenger struct {
	*simulator.Simulator
	t     *testing.T
	desk  *messengerDesk
	clock time.Time
	seen  map[string]bool
	robin string // the contact
}

func newMessenger(t *testing.T, o simulator.Options, fields map[string]string) *messenger {
	t.Helper()
	require.NoError(t, contract.Load())
	m := &messenger{t: t, clock: now, seen: map[string]bool{}}
	o.Check, o.ClientSecret, o.Now = contract.Check, secret, func() time.Time { return m.clock }
	m.Simulator = simulator.New(o)
	server := httptest.NewServer(m)
	t.Cleanup(server.Close)
	all := map[string]string{fieldClientSecret: secret, fieldTeamID: simulator.Support.ID}
	for name, value := range fields {
		all[name] = value
	}
	d, err := connectIn(t, handoff.ModeDeskToDesk, map[string]string{regionUS: server.URL}, all)
	require.NoError(t, err)
	m.desk = d.(*messengerDesk)
	m.robin = m.AddContact(simulator.Contact{Role: "user", ExternalID: "member-7", Name: "Robin Buyer", Email: "robin@example.com"}).ID
	return m
}

// agents is the workspace of the documentation: conversations begin with the Agent.
var agents = simulator.Options{DefaultAssignee: simulator.App}

func (m *messenger) begin(text string) string {
	m.t.Helper()
	_, err := m.Begin(m.robin, text)
	require.NoError(m.t, err)
	list := m.Conversations()
	return list[len(list)-1].ID
}

// hear receives every webhook and gives what is new, as the business does, which
// drops messages that it had.
func (m *messenger) hear() (list []string) {
	m.t.Helper()
	return m.receive(m.Notifications())
}

func (m *messenger) receive(hooks []simulator.Notification) (list []string) {
	m.t.Helper()
	for _, n := range hooks {
		m.clock = m.clock.Add(time.Second)
		events, err := m.desk.Receive(m.t.Context(), desk.Inbound{Header: n.Header, Body: n.Body, ReceivedAt: m.clock})
		require.NoError(m.t, err)
		for _, e := range events {
			require.NotEmpty(m.t, e.ID)
			if !m.seen[e.Ref+e.ID] {
				m.seen[e.Ref+e.ID] = true
				list = append(list, strings.TrimSpace(strings.TrimSpace(string(e.Kind)+" "+e.OperatorName)+" "+e.Text))
			}
		}
	}
	return list
}

// do lets a second pass, so that parts are in the order in which they were made.
func (m *messenger) do(act func() error) {
	m.t.Helper()
	m.clock = m.clock.Add(time.Second)
	require.NoError(m.t, act())
}

func (m *messenger) userWrites(ref, text string) {
	m.t.Helper()
	m.do(func() error { _, err := m.Write(ref, text); return err })
}

func (m *messenger) danaSays(ref, text string) {
	m.t.Helper()
	m.do(func() error { _, err := m.Reply(ref, simulator.Dana, text); return err })
}

func (m *messenger) agentSays(ref, text string) {
	m.t.Helper()
	m.do(func() error { _, err := m.desk.Say(m.t.Context(), m.sayRequest(ref, text)); return err })
}

func (m *messenger) sayRequest(ref, text string) desk.SayRequest {
	return desk.SayRequest{
		Attempt: desk.Attempt{DeliveryID: "dlv_3", At: m.clock}, Ref: ref, Author: handoff.AuthorAgent, Text: desk.Text{Body: text, At: m.clock},
	}
}

func (m *messenger) handover(ref string) desk.OpenRequest {
	r := openRequest()
	r.ProposedRef, r.Channel, r.At = ref, handoff.ChannelIntercom, m.clock
	return r
}

func (m *messenger) open(ref string) {
	m.t.Helper()
	m.do(func() error {
		opened, err := m.desk.Open(m.t.Context(), m.handover(ref))
		require.Equal(m.t, ref, opened.Ref)
		return err
	})
}

func (m *messenger) conversation(ref string) simulator.Conversation {
	m.t.Helper()
	list := m.Conversations()
	i := slices.IndexFunc(list, func(c simulator.Conversation) bool { return c.ID == ref })
	require.GreaterOrEqual(m.t, i, 0)
	return list[i]
}

func TestUserWrote(t *testing.T) {
	t.Parallel()
	m := newMessenger(t, agents, nil)
	hook, err := m.Begin(m.robin, "Hello?\nI was charged <twice>", "https://files.example.com/a.png")
	require.NoError(t, err)
	ref := m.Conversations()[0].ID
	want := handoff.DeskEvent{
		Kind: handoff.DeskUserWrote, Ref: ref, ID: "source", At: now, Text: "Hello?\nI was charged <twice>",
		Attachments: []handoff.Attachment{{URL: "https://files.example.com/a.png", ContentType: "image/png"}},
		User:        handoff.User{ID: "member-7", AnonymousID: m.robin, Name: "Robin Buyer", Email: "robin@example.com"},
	}
	for _, ask := range []func() ([]handoff.DeskEvent, error){
		func() ([]handoff.DeskEvent, error) {
			return m.desk.Receive(t.Context(), desk.Inbound{Header: hook.Header, Body: hook.Body, ReceivedAt: now.Add(time.Hour)})
		},
		func() ([]handoff.DeskEvent, error) { return m.desk.Missed(t.Context(), ref, now) },
	} {
		events, err := ask()
		require.NoError(t, err)
		require.Equal(t, []handoff.DeskEvent{want}, events)
	}
	m.Notifications()
	m.userWrites(ref, "second")
	require.Equal(t, []string{"USER_WROTE Hello?\nI was charged <twice>", "USER_WROTE second"}, m.hear())
	m.agentSays(ref, "I am the Agent")
	require.Empty(t, m.hear(), "our own")
}

// What the Agent does not answer.
func TestNotForTheAgent(t *testing.T) {
	t.Parallel()
	unassigned, emails := map[string]string{fieldUnassigned: yes}, map[string]string{fieldEmails: yes}
	for name, c := range map[string]struct {
		options simulator.Options
		fields  map[string]string
		act     func(m *messenger) error
		want    []string
	}{
		"assigned to nobody":                {act: func(m *messenger) error { m.begin("hello"); return nil }},
		"assigned to nobody, as configured": {fields: unassigned, act: func(m *messenger) error { m.begin("hello"); return nil }, want: []string{"USER_WROTE hello"}},
		"an e-mail":                         {options: agents, act: func(m *messenger) error { _, err := m.BeginByEmail(m.robin, "hello"); return err }},
		"an e-mail, as configured": {options: agents, fields: emails, want: []string{"USER_WROTE hello"},
			act: func(m *messenger) error { _, err := m.BeginByEmail(m.robin, "hello"); return err }},
		"a human's": {options: simulator.Options{DefaultAssignee: simulator.Dana}, fields: unassigned,
			act: func(m *messenger) error { m.userWrites(m.begin("hello"), "again"); return nil }},
		"a team's": {fields: unassigned, act: func(m *messenger) error {
			_, err := m.AssignTeam(m.begin("hello"), simulator.Dana, simulator.Support)
			return err
		}},
		"taken by a human who says nothing": {options: agents, act: func(m *messenger) error {
			ref := m.begin("hello")
			m.hear()
			_, err := m.Assign(ref, simulator.Dana, simulator.Dana, "")
			m.userWrites(ref, "for Dana")
			return err
		}, want: []string{"JOINED Dana Helper"}},
		"a bot's words": {options: agents, act: func(m *messenger) error {
			ref := m.begin("hello")
			m.hear()
			_, err := m.Reply(ref, simulator.Fin, "I am Fin")
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMessenger(t, c.options, c.fields)
			require.NoError(t, c.act(m))
			require.Equal(t, c.want, m.hear())
		})
	}
}

// What came by the API in a contact's name, by whomever, is no question to the Agent.
func TestContactsByTheAPI(t *testing.T) {
	t.Parallel()
	m := newMessenger(t, agents, nil)
	d := m.desk
	item := strings.ReplaceAll(sample(t, "webhook.conversation.user.replied.own_echo_must_be_ignored.json"), `"admin_assignee_id": 7700001`, `"admin_assignee_id": 7709999`)
	d.identities.set(identity{base: "http://127.0.0.1:1", admin: "7709999", app: "zx81qw92"})
	d.knows(t, item)
	events, err := receiveSigned(t, d.intercomDesk, item)
	require.NoError(t, err)
	require.Len(t, events, 1)
	require.Equal(t, "source", events[0].ID)
	item = strings.Replace(item, `"app_package_code": "acme-handoff"`, `"app_package_code": null`, 1)
	d.knows(t, item)
	events, err = receiveSigned(t, d.intercomDesk, item)
	require.NoError(t, err)
	require.Len(t, events, 2)
	require.Equal(t, "Order 1182", events[1].Text)
}

// A whole dialogue: the Agent, humans whom it asks, and the Agent again.
func TestMessengerSession(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string]map[string]string{"signed": nil, "hints": {fieldClientSecret: ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMessenger(t, agents, fields)
			ref := m.begin("I was charged twice, can I talk to a person?")
			require.Equal(t, []string{"USER_WROTE I was charged twice, can I talk to a person?"}, m.hear())
			m.agentSays(ref, "I get you a colleague.")
			m.open(ref)
			c := m.conversation(ref)
			require.Equal(t, [2]string{"", simulator.Support.ID}, [2]string{c.Admin, c.Team}, "the Agent has left")
			require.Empty(t, m.hear(), "our own doing")

			m.userWrites(ref, "Is anybody there?")
			require.Equal(t, []string{"USER_WROTE Is anybody there?"}, m.hear())
			m.do(func() error { _, err := m.Assign(ref, simulator.Dana, simulator.Dana, ""); return err })
			require.Equal(t, []string{"JOINED Dana Helper"}, m.hear())
			m.do(func() error { _, err := m.Note(ref, simulator.Dana, "secret"); return err })
			m.danaSays(ref, "Hello, this is Dana.")
			m.userWrites(ref, "Order 1182")
			require.Equal(t, []string{"MESSAGE Dana Helper Hello, this is Dana.", "USER_WROTE Order 1182"}, m.hear())
			m.do(func() error {
				r := m.sayRequest(ref, "Nobody answered for a while.")
				r.Author = handoff.AuthorSystem
				_, err := m.desk.Say(t.Context(), r)
				return err
			})
			require.Equal(t, simulator.Dana.ID, m.conversation(ref).Admin, "a standard text takes nothing back")
			m.do(func() error { _, err := m.Close(ref, simulator.Dana, "Bye!"); return err })
			require.Equal(t, []string{"MESSAGE Dana Helper Bye!", "ENDED"}, m.hear())

			m.userWrites(ref, "One more thing")
			require.Equal(t, []string{"USER_WROTE One more thing"}, m.hear())
			require.Equal(t, simulator.Dana.ID, m.conversation(ref).Admin, "as Intercom leaves it")
			m.agentSays(ref, "I am the Agent again.")
			require.Equal(t, simulator.App.ID, m.conversation(ref).Admin)
			m.userWrites(ref, "Good")
			require.Equal(t, []string{"USER_WROTE Good"}, m.hear())
			before := len(m.Requests())
			m.agentSays(ref, "Yes")
			require.Len(t, m.Requests(), before+1, "an answer costs one call")
		})
	}
}

// A human ends by giving the conversation back. Later humans are not ended by it.
func TestGivenBack(t *testing.T) {
	t.Parallel()
	m := newMessenger(t, agents, nil)
	ref := m.begin("hello")
	m.open(ref)
	m.danaSays(ref, "Hi")
	m.do(func() error { _, err := m.Assign(ref, simulator.Dana, simulator.App, "Over to the Agent"); return err })
	require.Equal(t, []string{"USER_WROTE hello", "MESSAGE Dana Helper Hi", "MESSAGE Dana Helper Over to the Agent", "ENDED"}, m.hear())
	m.userWrites(ref, "ok")
	require.Equal(t, []string{"USER_WROTE ok"}, m.hear())

	m.seen = map[string]bool{} // everything is looked at anew: the end must not be told again
	m.danaSays(ref, "Wait, I take this")
	heard := m.hear()
	require.Equal(t, "MESSAGE Dana Helper Wait, I take this", heard[len(heard)-1])
	require.NotContains(t, heard, "ENDED")
	m.userWrites(ref, "Dana again?")
	require.Contains(t, m.hear(), "USER_WROTE Dana again?", "told while a human has the word")

	m.do(func() error { _, err := m.Assign(ref, simulator.Dana, simulator.App, ""); return err })
	require.Contains(t, m.hear(), "ENDED")
	m.open(ref)
	m.seen = map[string]bool{}
	m.userWrites(ref, "and now?")
	require.NotContains(t, m.hear(), "ENDED", "a new handoff began")
}

func TestMessengerDisorder(t *testing.T) {
	t.Parallel()
	m := newMessenger(t, agents, nil)
	ref := m.begin("one")
	m.userWrites(ref, "two")
	m.open(ref)
	m.userWrites(ref, "three")
	m.danaSays(ref, "four")
	m.userWrites(ref, "five")
	hooks := m.Notifications()
	slices.Reverse(hooks)
	require.Equal(t, []string{"USER_WROTE one", "USER_WROTE two", "USER_WROTE three", "MESSAGE Dana Helper four", "USER_WROTE five"},
		m.receive(append(hooks, hooks...)))
}

// What the Agent has not answered is brought by whatever webhook comes next.
func TestLostQuestions(t *testing.T) {
	t.Parallel()
	m := newMessenger(t, agents, nil)
	ref := m.begin("one")
	m.hear()
	m.agentSays(ref, "yes")
	m.userWrites(ref, "two")
	m.Notifications() // lost
	m.clock = m.clock.Add(time.Hour)
	m.userWrites(ref, "three")
	require.Equal(t, []string{"USER_WROTE two", "USER_WROTE three"}, m.hear())
	m.agentSays(ref, "yes?")
	m.seen = map[string]bool{}
	m.clock = m.clock.Add(time.Hour)
	m.userWrites(ref, "four")
	require.Equal(t, []string{"USER_WROTE four"}, m.hear(), "what was answered is not looked at for ever")
}

func TestHandoverOnTheWire(t *testing.T) {
	t.Parallel()
	note := `<p><b>Note:</b> Be kind.</p><p><b>Summary:</b> Charged twice.</p><h2>Details</h2><p><b>Channel:</b> INTERCOM</p>` +
		`<p><b>Language:</b> en</p><p><b>a&lt;b:</b> x</p><p><b>plan:</b> pro</p><p><i>Handoff hof_1 (1/1)</i></p>`
	for name, c := range map[string]struct {
		fields map[string]string
		want   []string
		holder [2]string
	}{
		"to a team": {nil, []string{
			`{"message_type":"assignment","type":"team","admin_id":"7709999","assignee_id":"810200"}`,
			`{"message_type":"assignment","type":"admin","admin_id":"7709999","assignee_id":"0"}`,
		}, [2]string{"", "810200"}},
		"to a teammate": {map[string]string{fieldTeamID: "", fieldHumanID: "7700002"}, []string{
			`{"message_type":"assignment","type":"admin","admin_id":"7709999","assignee_id":"7700002"}`,
		}, [2]string{"7700002", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMessenger(t, agents, c.fields)
			ref := m.begin("hello")
			m.open(ref)
			var posted []string
			for _, r := range m.Requests() {
				if r.Method == "POST" {
					posted = append(posted, r.Path+" "+r.Body)
				}
			}
			want := []string{"/conversations/" + ref + `/reply {"message_type":"note","type":"admin","admin_id":"7709999","body":"` + note + `"}`}
			for _, body := range c.want {
				want = append(want, "/conversations/"+ref+"/parts "+body)
			}
			require.Equal(t, want, posted)
			got := m.conversation(ref)
			require.Equal(t, c.holder, [2]string{got.Admin, got.Team})
		})
	}
}

// Wherever the handover is cut off, its repeat completes it, once.
func TestHandoverIsCompleted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path  string
		times int // which of the calls to the path fails
		done  bool
	}{
		"note": {"/reply", 1, false}, "note written": {"/reply", 1, true},
		"assignment": {"/parts", 1, false}, "assigned": {"/parts", 1, true},
		"leaving": {"/parts", 2, false}, "left": {"/parts", 2, true},
	} {
		for cause, f := range map[string]simulator.Failure{"hung up": {Done: c.done}, "500": {Status: 500, Done: c.done}} {
			t.Run(name+", "+cause, func(t *testing.T) {
				t.Parallel()
				m := newMessenger(t, agents, nil)
				ref := m.begin("hello")
				calls := 0
				m.Fail(func(r *http.Request) *simulator.Failure {
					if r.Method == "POST" && strings.HasSuffix(r.URL.Path, c.path) {
						if calls++; calls == c.times {
							return &f
						}
					}
					return nil
				})
				opened, err := m.desk.Open(t.Context(), m.handover(ref))
				require.Error(t, err)
				require.True(t, fault.As(err).Retryable())
				require.Equal(t, c.path == "/parts", opened.Ref == ref, "what was begun is named")
				r := m.handover(ref)
				r.Repeat = true
				for range 2 {
					opened, found, err := m.desk.FindOpened(t.Context(), r)
					require.NoError(t, err)
					if !found {
						opened, err = m.desk.Open(t.Context(), r)
						require.NoError(t, err)
					}
					require.Equal(t, ref, opened.Ref)
				}
				got := m.conversation(ref)
				require.Equal(t, [2]string{"", simulator.Support.ID}, [2]string{got.Admin, got.Team})
				count := map[string]int{}
				for _, p := range got.Parts {
					count[p.Type+p.AssignedTo]++
				}
				require.Equal(t, map[string]int{partNote: 1, partAssignment + simulator.Support.ID: 1, partAssignment: 1}, count)
			})
		}
	}
}

// The humans are needed more than the note.
func TestRefusedNoteDoesNotHoldUpTheHandover(t *testing.T) {
	t.Parallel()
	m := newMessenger(t, agents, nil)
	ref := m.begin("hello")
	m.Fail(failing(1, "POST", "/reply", simulator.Failure{Status: 403, Code: "forbidden"}))
	m.open(ref)
	require.Equal(t, simulator.Support.ID, m.conversation(ref).Team)
}

func TestSay(t *testing.T) {
	t.Parallel()
	m := newMessenger(t, agents, nil)
	ref := m.begin("hello")
	picture := handoff.Attachment{URL: "https://files.example.com/a.png", ContentType: "image/png"}
	r := m.sayRequest(ref, "See <this> & that")
	r.Text.Attachments = []handoff.Attachment{picture}
	sent, err := m.desk.Say(t.Context(), r)
	require.NoError(t, err)
	p := m.conversation(ref).Parts[0]
	require.Equal(t, sent.ID, p.ID)
	require.Equal(t, []string{"comment", "admin", simulator.App.ID, "See <this> & that", picture.URL},
		[]string{p.Type, p.By, p.Author.ID, p.Text, p.Attachments[0].URL})

	m.Fail(failing(1, "POST", "/reply", simulator.Failure{Status: 422, Code: "parameter_invalid"}))
	_, err = m.desk.Say(t.Context(), r)
	require.NoError(t, err)
	require.Equal(t, "See <this> & that\n"+picture.URL, m.conversation(ref).Parts[1].Text)

	_, err = m.desk.Say(t.Context(), m.sayRequest("1", "nobody"))
	require.Equal(t, fault.DeskGone, fault.KindOf(err))
	before := len(m.Requests())
	_, err = m.desk.Send(t.Context(), desk.SendRequest{Ref: ref})
	require.NoError(t, err)
	_, found, err := m.desk.FindSent(t.Context(), desk.SendRequest{Ref: ref})
	require.NoError(t, err)
	require.True(t, found)
	require.Len(t, m.Requests(), before, "what users write is there already")
}

func TestFindSaid(t *testing.T) {
	t.Parallel()
	m := newMessenger(t, agents, nil)
	ref := m.begin("hello")
	r := m.sayRequest(ref, strings.Repeat("long ", 5_000)) // three pieces
	find := func() bool {
		t.Helper()
		sent, found, err := m.desk.FindSaid(t.Context(), r)
		require.NoError(t, err)
		require.Equal(t, found, sent.ID != "")
		return found
	}
	require.False(t, find())
	m.Fail(failing(1, "POST", "/reply", simulator.Failure{Done: true}))
	_, err := m.desk.Say(t.Context(), r)
	require.Equal(t, fault.MaybeSent, fault.As(err).Sent)
	require.False(t, find(), "only its beginning")
	r.Repeat = true
	_, err = m.desk.Say(t.Context(), r)
	require.NoError(t, err)
	require.True(t, find())
	var got strings.Builder
	for _, p := range m.conversation(ref).Parts {
		got.WriteString(p.Text)
	}
	require.Equal(t, r.Text.Body, got.String())
	m.do(func() error { _, err := m.Reply(ref, simulator.App, "typed in the inbox"); return err })
	r = m.sayRequest(ref, "typed in the inbox")
	require.False(t, find(), "not by us")
}

func TestTakenBack(t *testing.T) {
	t.Parallel()
	for _, reason := range handoff.CloseReasons {
		m := newMessenger(t, agents, nil)
		ref := m.begin("hello")
		m.open(ref)
		m.danaSays(ref, "Hi")
		for range 2 {
			m.do(func() error { return m.desk.Close(t.Context(), desk.CloseRequest{Ref: ref, Reason: reason}) })
		}
		m.Notifications()
		c := m.conversation(ref)
		if reason == handoff.ReasonSessionTimeout {
			require.Equal(t, "closed", c.State)
			require.Empty(t, c.Parts[len(c.Parts)-1].Text, "the Agent says why")
		} else {
			require.Equal(t, [2]string{"open", simulator.App.ID}, [2]string{c.State, c.Admin}, reason)
		}
		missed, err := m.desk.Missed(t.Context(), ref, now.Add(time.Hour))
		require.NoError(t, err)
		for _, e := range missed {
			require.Equal(t, "hello", e.Text, "our own end is no news")
		}
		m.userWrites(ref, "And now?")
		require.Contains(t, m.hear(), "USER_WROTE And now?", reason)
	}
	m := newMessenger(t, agents, nil)
	require.NoError(t, m.desk.Close(t.Context(), desk.CloseRequest{Ref: "1", Reason: handoff.ReasonUserEnded}), "gone")
}

func TestMessengerForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields map[string]string
		field  string
	}{
		"nobody to give them to": {map[string]string{}, fieldTeamID},
		"both":                   {map[string]string{fieldTeamID: "1", fieldHumanID: "2"}, fieldHumanID},
		"the Agent itself":       {map[string]string{fieldAdminID: "2", fieldHumanID: "2"}, fieldHumanID},
	} {
		_, err := connectIn(t, handoff.ModeDeskToDesk, nil, c.fields)
		require.Equal(t, "fields."+c.field, fault.As(err).Field, name)
		require.Equal(t, fault.InvalidInput, fault.KindOf(err), name)
	}
	d := Driver{}.Describe()
	checked, err := d.Check(handoff.ModeDeskToDesk, map[string]string{fieldAccessToken: "t", fieldTeamID: "7"}, nil)
	require.NoError(t, err)
	require.Equal(t, map[string]string{fieldAccessToken: "t", fieldRegion: regionAuto, fieldTeamID: "7", fieldUnassigned: no, fieldEmails: no}, checked)
	_, err = d.Check(handoff.ModeExternalToDesk, map[string]string{fieldAccessToken: "t", fieldTeamID: "7"}, nil)
	require.Equal(t, "fields."+fieldTeamID, fault.As(err).Field)
}

func TestMessengerVerify(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields map[string]string
		field  string
		text   string
	}{
		"fine":             {},
		"fine, a teammate": {fields: map[string]string{fieldTeamID: "", fieldHumanID: simulator.Dana.ID}},
		"no such Agent":    {map[string]string{fieldAdminID: "5"}, fieldAdminID, "no teammate 5; it has 7700001, 7700002, 7709999"},
		"no such team":     {map[string]string{fieldTeamID: "5"}, fieldTeamID, "no team 5; it has 810200"},
		"no such teammate": {map[string]string{fieldTeamID: "", fieldHumanID: "5"}, fieldHumanID, "no teammate 5"},
		"the Agent itself": {map[string]string{fieldTeamID: "", fieldHumanID: simulator.App.ID}, fieldHumanID, "the Agent is"},
	} {
		m := newMessenger(t, agents, c.fields)
		err := m.desk.Verify(t.Context())
		if c.field == "" {
			require.NoError(t, err, name)
			continue
		}
		f := fault.As(err)
		require.Equal(t, fault.DeskRejected, f.Kind, name)
		require.Equal(t, "fields."+c.field, f.Field, name)
		require.Contains(t, f.Public, c.text, name)
	}
	m := newMessenger(t, agents, nil)
	m.Fail(failing(1, "GET", "/teams", simulator.Failure{Status: 503}))
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(m.desk.Verify(t.Context())))
}

func TestSome(t *testing.T) {
	t.Parallel()
	require.Equal(t, "none", some(nil))
	require.Equal(t, "1, 2", some([]string{"1", "2"}))
	require.Equal(t, "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more", some(strings.Fields("1 2 3 4 5 6 7 8 9 10 11 12")))
}
