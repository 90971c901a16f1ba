package livechat

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/livechat/simulator"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestOpenBringsTheContext(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	ref := open(t, a.external(t, map[string]string{fieldGroupID: "19"}), openRequest())
	chats := a.Chats()
	require.Len(t, chats, 1)
	thread := chats[0].Threads[0]
	require.Equal(t, newRef(chats[0].ID, thread.ID), ref)
	require.Equal(t, []int{19}, thread.Groups)
	require.Equal(t, []string{
		"Note: Be kind.\nSummary: Charged twice.\n[Conversation history]\nUser, 2026-09-21 14:29 UTC: I was charged <twice> & more\n" +
			"Answer: Let me check.\nOne moment.\nAnswer to the newest question: I get you a colleague.\n" +
			"[Details]\nHandoff: hof_1\nChannel: LINE\nLanguage: en\nplan: pro",
		"I was charged twice, can I talk to a person?",
	}, texts(&thread))
	require.Equal(t, "dlv_1.1", thread.Events[0].CustomID)
	customer := a.Customers()[0]
	require.Equal(t, "Robin Buyer", customer.Name)
	require.Equal(t, "robin@example.com", customer.Email)
	require.Equal(t, map[string]string{"channel": "line", "handoff_id": "hof_1"}, customer.Fields)
	require.Equal(t, []string{"token", "update_customer", "start_chat"}, a.asked(0))
}

// The request to start a chat has the members of the documented one.
func TestStartLooksLikeTheSample(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	open(t, a.external(t, map[string]string{fieldGroupID: "0"}), openRequest())
	var got, want map[string]any
	for _, r := range a.Requests() {
		if strings.Contains(r.Path, "start_chat") {
			require.NoError(t, json.Unmarshal([]byte(r.Body), &got))
		}
	}
	require.NoError(t, json.Unmarshal(sample(t, "api.customer.start_chat.request.json"), &want))
	for _, body := range []map[string]any{got, want} {
		delete(body["chat"].(map[string]any)["thread"].(map[string]any), "events")
	}
	require.Equal(t, want, got)
}

// A fallback address is shared by many; it is told to the Operator and is nobody's own.
func TestFallbackAddress(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	r := openRequest()
	r.EmailGiven = false
	open(t, a.external(t, nil), r)
	require.Empty(t, a.Customers()[0].Email)
	require.Contains(t, a.Chats()[0].Threads[0].Events[0].Text, "E-mail (not the user's own): robin@example.com")
}

// An address that LiveChat does not take hinders nothing.
func TestRefusedAddress(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	r := openRequest()
	r.User.Email = "a@b@c"
	open(t, a.external(t, nil), r)
	require.Equal(t, "Robin Buyer", a.Customers()[0].Name)
}

// The same User is the same customer: one chat, a thread for each Handoff.
func TestNextHandoffResumes(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	user := openRequest().User
	first := open(t, d, opening("hof_1", user))
	require.NoError(t, d.Close(t.Context(), closeRequest(first)))
	second := open(t, a.external(t, nil), opening("hof_2", user)) // another replica
	require.NotEqual(t, first, second)
	require.Len(t, a.Customers(), 1)
	require.Len(t, a.Chats(), 1)
	require.Len(t, a.Chats()[0].Threads, 2)

	// What belongs to the old thread cannot reach the new one.
	_, err := d.Send(t.Context(), sendRequest(first, "dlv_2", "late"))
	require.Equal(t, fault.DeskGone, fault.KindOf(err))
	require.NoError(t, d.Close(t.Context(), closeRequest(first)))
	require.True(t, a.Chats()[0].Threads[1].Active)
	_, err = d.Send(t.Context(), sendRequest(second, "dlv_3", "hello"))
	require.NoError(t, err)
}

// The desk ended the first session, which may not have been heard here.
func TestNextHandoffAfterTheDeskEnded(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]bool{"heard": false, "lost": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, simulator.Options{})
			d := a.external(t, nil)
			open(t, d, opening("hof_1", openRequest().User))
			hook, err := a.Close(a.Chats()[0].ID, simulator.Dana)
			require.NoError(t, err)
			if !lost {
				require.Equal(t, handoff.DeskEnded, receive(t, d, hook)[0].Kind)
			}
			open(t, d, opening("hof_2", openRequest().User))
			require.Len(t, a.Chats(), 1)
			require.Len(t, a.Chats()[0].Threads, 2)
		})
	}
}

// A chat that is active although no session of ours uses it is ended first.
func TestStaleChat(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	first := open(t, d, opening("hof_1", openRequest().User))
	require.NoError(t, d.Close(t.Context(), closeRequest(first)))
	_, err := a.Return(a.Chats()[0].ID, "from elsewhere", simulator.Dana)
	require.NoError(t, err)
	open(t, d, opening("hof_2", openRequest().User))
	threads := a.Chats()[0].Threads
	require.Len(t, threads, 3)
	require.False(t, threads[1].Active)
	require.True(t, threads[2].Active)
}

// Two sessions of a User at a time are two customers, and never share a chat.
func TestTwoSessionsOfAUser(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	first := open(t, d, opening("hof_1", openRequest().User))
	second := open(t, d, opening("hof_2", openRequest().User))
	require.Len(t, a.Chats(), 2)
	for ref, text := range map[string]string{first: "one", second: "two"} {
		_, err := d.Send(t.Context(), sendRequest(ref, "dlv_2", text))
		require.NoError(t, err)
	}
	for i, text := range []string{"one", "two"} {
		all := texts(&a.Chats()[i].Threads[0])
		require.Equal(t, text, all[len(all)-1])
	}
	require.NoError(t, d.Close(t.Context(), closeRequest(first)))
	require.False(t, a.Chats()[0].Threads[0].Active)
	require.True(t, a.Chats()[1].Threads[0].Active)
}

func TestTooManySessionsOfAUser(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	for n := range maxIdentities {
		open(t, d, opening(fmt.Sprint("hof_", n), openRequest().User))
	}
	_, err := d.Open(t.Context(), opening("hof_x", openRequest().User))
	require.Equal(t, fault.DeskRejected, fault.KindOf(err))
	require.Contains(t, err.Error(), "8 open sessions")
	require.Len(t, a.Chats(), maxIdentities)
}

// Whoever is who: the key of the User decides.
func TestWhoIsTheSameCustomer(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b handoff.User
		same bool
	}{
		"same id":                {handoff.User{ID: "1"}, handoff.User{ID: "1", Name: "x"}, true},
		"other id":               {handoff.User{ID: "1"}, handoff.User{ID: "2"}, false},
		"same anonymous id":      {handoff.User{AnonymousID: "1"}, handoff.User{AnonymousID: "1"}, true},
		"id is not anonymous id": {handoff.User{ID: "1"}, handoff.User{AnonymousID: "1"}, false},
		"strangers":              {handoff.User{Name: "x"}, handoff.User{Name: "x"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, simulator.Options{})
			d := a.external(t, nil)
			require.NoError(t, d.Close(t.Context(), closeRequest(open(t, d, opening("hof_1", c.a)))))
			open(t, d, opening("hof_2", c.b))
			require.Len(t, a.Customers(), map[bool]int{true: 1, false: 2}[c.same])
		})
	}
}

// Nothing is kept of a stranger whose session has ended.
func TestStrangersAreForgotten(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	r := opening("hof_1", handoff.User{})
	ref := open(t, d, r)
	require.NoError(t, d.Close(t.Context(), closeRequest(ref)))
	key, _ := d.identityKey(&r, 1)
	for _, key := range []string{key, d.chatKey(a.Chats()[0].ID)} {
		_, version, err := a.memory.Get(t.Context(), key)
		require.NoError(t, err)
		require.Zero(t, version)
	}
	require.NoError(t, d.Close(t.Context(), closeRequest(ref)), "and once more")
}

// Many openings of the same User at once, in several replicas: each gets a chat of its own.
func TestIdentityRace(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	const n = 5
	refs := make([]string, n)
	var all sync.WaitGroup
	for i := range n {
		d := a.external(t, nil)
		all.Go(func() {
			if opened, err := d.Open(context.Background(), opening(fmt.Sprint("hof_", i), openRequest().User)); err == nil {
				refs[i] = opened.Ref
			}
		})
	}
	all.Wait()
	seen := map[string]bool{}
	for i, ref := range refs {
		require.NotEmpty(t, ref, i)
		chat, _, _ := splitRef(ref)
		require.False(t, seen[chat])
		seen[chat] = true
		require.Contains(t, a.chatText(chat), fmt.Sprint("Handoff: hof_", i, "\n"))
	}
}

func (a *account) chatText(id string) string {
	for _, c := range a.Chats() {
		if c.ID == id {
			return strings.Join(texts(&c.Threads[len(c.Threads)-1]), "\n")
		}
	}
	return ""
}

// An opening that died leaves its identity to others, but not before it can be dead.
func TestAbandonedClaim(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	a.Fail(failing(1, "start_chat", simulator.Failure{Status: 503, Type: "service_unavailable"}))
	_, err := d.Open(t.Context(), opening("hof_1", openRequest().User))
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
	open(t, d, opening("hof_2", openRequest().User))
	require.Len(t, a.Customers(), 2, "hof_1 may still come")
	a.clock.Add(claimTime)
	open(t, d, opening("hof_3", openRequest().User))
	require.Len(t, a.Customers(), 2)

	// hof_1 comes after all, and gets out of the way.
	open(t, d, opening("hof_1", openRequest().User))
	require.Len(t, a.Customers(), 3)
	require.Len(t, a.Chats(), 3)
}

// A refused opening frees the identity at once.
func TestRefusedOpeningFrees(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	a.Fail(failing(1, "start_chat", simulator.Failure{Status: 400, Type: "groups_offline"}))
	_, err := d.Open(t.Context(), opening("hof_1", openRequest().User))
	require.Equal(t, fault.DeskRejected, fault.KindOf(err))
	require.Contains(t, err.Error(), "nobody is there")
	open(t, d, opening("hof_2", openRequest().User))
	require.Len(t, a.Customers(), 1)
}

func TestNobodyIsThere(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fields map[string]string
		opened bool
	}{
		"waits":                  {nil, true},
		"fails":                  {map[string]string{fieldWhenOffline: offlineFail}, false},
		"fails, with a group":    {map[string]string{fieldWhenOffline: offlineFail, fieldGroupID: "19"}, false},
		"waits, with that group": {map[string]string{fieldGroupID: "19"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, simulator.Options{})
			d := a.external(t, c.fields)
			open(t, d, opening("hof_1", handoff.User{ID: "1"}))
			a.SetOffline(true)
			_, err := d.Open(t.Context(), opening("hof_2", handoff.User{ID: "2"}))
			if c.opened {
				require.NoError(t, err)
				return
			}
			require.Equal(t, fault.DeskRejected, fault.KindOf(err))
			require.Contains(t, err.Error(), "nobody is online")
			require.Len(t, a.Chats(), 1)
		})
	}
}

func TestUnknownGroup(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	_, err := a.external(t, map[string]string{fieldGroupID: "77"}).Open(t.Context(), openRequest())
	require.Equal(t, fault.DeskRejected, fault.KindOf(err))
	require.Contains(t, err.Error(), "correct it in the connection")
}

// A token is used for nine tenths of its life, then another is asked for with the
// same cookies.
func TestTokenIsRefreshed(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	ref := open(t, d, openRequest())
	send := func(n int) []string {
		before := len(a.Requests())
		_, err := d.Send(t.Context(), sendRequest(ref, fmt.Sprint("dlv_", n), "hello"))
		require.NoError(t, err)
		return a.asked(before)
	}
	a.clock.Add(8*time.Hour/10*9 - time.Second)
	require.Equal(t, []string{"send_event"}, send(2))
	a.clock.Add(time.Second)
	require.Equal(t, []string{"token", "send_event"}, send(3))
	require.Equal(t, []string{"send_event"}, send(4))
	a.ExpireTokens()
	require.Equal(t, []string{"send_event", "token", "send_event"}, send(5))
	require.Len(t, a.Customers(), 1)
}

// A token that is not accepted even when it is new is not asked for again and again.
func TestTokenIsRefreshedOnce(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	ref := open(t, d, openRequest())
	a.Fail(failing(-1, "send_event", simulator.Failure{Status: 401, Type: "authentication"}))
	before := len(a.Requests())
	_, err := d.Send(t.Context(), sendRequest(ref, "dlv_2", "hello"))
	require.Equal(t, fault.DeskUnauthorized, fault.KindOf(err))
	require.Equal(t, []string{"send_event", "token", "send_event"}, a.asked(before))
}

// Several replicas that find the same token expired ask for one new one.
func TestRefreshRace(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	ref := open(t, a.external(t, nil), openRequest())
	a.ExpireTokens()
	var all sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		d := a.external(t, nil)
		all.Go(func() {
			_, errs[i] = d.Send(context.Background(), sendRequest(ref, fmt.Sprint("dlv_m", i), fmt.Sprint("text ", i)))
		})
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	require.Len(t, a.Customers(), 1)
	require.Len(t, a.Chats(), 1)
	// The simulator takes back the cookies that it replaces: a second one would show.
	tokens := 0
	for _, action := range a.asked(0) {
		if action == "token" {
			tokens++
		}
	}
	require.Equal(t, 2, tokens)
}

// Whoever died while asking for a token holds up the others for a while only.
func TestRenewingIsTakenOver(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	r := openRequest()
	ref := open(t, d, r)
	key, _ := d.identityKey(&r, 1)
	customer, err := d.load(t.Context(), key)
	require.NoError(t, err)
	_, err = d.change(t.Context(), customer, func(i *identity) bool {
		i.RenewingUntil = start.Add(renewTime)
		return true
	})
	require.NoError(t, err)
	a.ExpireTokens()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err = d.Send(ctx, sendRequest(ref, "dlv_2", "hello"))
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
	require.Equal(t, fault.NotSent, fault.As(err).Sent)
	a.clock.Add(renewTime)
	_, err = d.Send(t.Context(), sendRequest(ref, "dlv_2", "hello"))
	require.NoError(t, err)
}

// Cookies that do not count any more make a new customer: its old session is gone, and
// the next one opens a new chat.
func TestLostCookies(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	ref := open(t, d, opening("hof_1", openRequest().User))
	a.ExpireTokens()
	a.ForgetCookies()
	_, err := d.Send(t.Context(), sendRequest(ref, "dlv_2", "hello"))
	require.Equal(t, fault.DeskGone, fault.KindOf(err))
	before := len(a.Requests())
	_, err = d.Send(t.Context(), sendRequest(ref, "dlv_3", "hello"))
	require.Equal(t, fault.DeskGone, fault.KindOf(err))
	require.NoError(t, d.Close(t.Context(), closeRequest(ref)))
	require.Len(t, a.Requests(), before, "the new customer has no part in it")
	require.NotEqual(t, ref, open(t, d, opening("hof_2", openRequest().User)))
	require.Len(t, a.Chats(), 2)
}

func TestRegion(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{Region: "fra"})
	d := a.external(t, nil)
	ref := open(t, d, openRequest())
	_, err := d.Send(t.Context(), sendRequest(ref, "dlv_2", "hello"))
	require.NoError(t, err)
	require.Equal(t, []string{"token", "update_customer", "update_customer", "start_chat", "send_event"}, a.asked(0))

	a.Fail(failing(-1, "send_event", simulator.Failure{Status: 421, Type: "misdirected_request"}))
	_, err = d.Send(t.Context(), sendRequest(ref, "dlv_3", "hello"))
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
}

// An anonymized chat takes its customer with it.
func TestAnonymized(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	require.NoError(t, d.Close(t.Context(), closeRequest(open(t, d, opening("hof_1", openRequest().User)))))
	a.Fail(failing(1, "resume_chat", simulator.Failure{Status: 400, Type: "chat_anonymized"}))
	open(t, d, opening("hof_2", openRequest().User))
	require.Len(t, a.Customers(), 2)
	require.Len(t, a.Chats(), 2)
}

// A customer whose chat was not known yet has one all the same.
func TestStartFindsAChat(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	require.NoError(t, d.Close(t.Context(), closeRequest(open(t, d, opening("hof_1", openRequest().User)))))
	// As if it was made while its list was read.
	r := opening("hof_2", openRequest().User)
	key, _ := d.identityKey(&r, 1)
	customer, err := d.load(t.Context(), key)
	require.NoError(t, err)
	_, err = d.change(t.Context(), customer, func(i *identity) bool {
		i.EntityID = "" // what makes the desk believe that the customer is new
		return true
	})
	require.NoError(t, err)
	open(t, d, r)
	require.Len(t, a.Chats(), 1)
	require.Contains(t, a.asked(0), "resume_chat")
}

func TestSendSplits(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	ref := open(t, d, openRequest())
	text := strings.Repeat("👩‍👩‍👧 ", 2_000) // 12,000 characters, 38 kB
	_, err := d.Send(t.Context(), sendRequest(ref, "dlv_2", text))
	require.NoError(t, err)
	got := texts(&a.Chats()[0].Threads[0])[2:]
	require.Len(t, got, 4)
	require.Equal(t, text, strings.Join(got, ""))
	for _, part := range got {
		require.True(t, strings.HasPrefix(part, "👩‍👩‍👧"), "no family is torn apart")
	}
}

func TestSendToAnEndedChat(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	ref := open(t, d, openRequest())
	_, err := a.Idle(a.Chats()[0].ID)
	require.NoError(t, err)
	_, err = d.Send(t.Context(), sendRequest(ref, "dlv_2", "hello"))
	require.Equal(t, fault.DeskGone, fault.KindOf(err))
	require.NoError(t, d.Close(t.Context(), closeRequest(ref)), "ended is what we wanted")
	for _, ref := range []string{"", "x", "TA1/TB1", "TA1/TB1/x", "../x/y", "TA1/"} {
		_, err = d.Send(t.Context(), sendRequest(ref, "dlv_3", "hello"))
		require.Equal(t, fault.DeskGone, fault.KindOf(err), ref)
		require.NoError(t, d.Close(t.Context(), closeRequest(ref)))
	}
}

func TestSendRead(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	ref := open(t, d, openRequest())
	require.NoError(t, d.SendRead(t.Context(), ref))
	require.Equal(t, "mark_events_as_seen", a.asked(0)[3])
	require.Equal(t, fault.DeskGone, fault.KindOf(d.SendRead(t.Context(), "TA1/TB1")))
}

// Every documented type of refusal, whatever its status: what it means, and that it
// says what to do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]struct{ open, send fault.Kind }{
		"authorization":       {fault.DeskUnauthorized, fault.DeskUnauthorized},
		"chat_inactive":       {fault.DeskRejected, fault.DeskGone},
		"customer_banned":     {fault.DeskRejected, fault.DeskGone},
		"entity_too_large":    {fault.DeskRejected, fault.DeskRejected},
		"group_not_found":     {fault.DeskRejected, fault.DeskRejected},
		"groups_offline":      {fault.DeskRejected, fault.DeskRejected},
		"internal":            {fault.DeskUnavailable, fault.DeskUnavailable},
		"license_expired":     {fault.DeskUnauthorized, fault.DeskUnauthorized},
		"license_not_found":   {fault.DeskUnauthorized, fault.DeskUnauthorized},
		"limit_reached":       {fault.DeskRejected, fault.DeskRejected},
		"request_timeout":     {fault.DeskUnavailable, fault.DeskUnavailable},
		"service_unavailable": {fault.DeskUnavailable, fault.DeskUnavailable},
		"too_many_requests":   {fault.DeskRateLimited, fault.DeskRateLimited},
		"validation":          {fault.DeskRejected, fault.DeskRejected},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			body := sample(t, "error."+kind+".json")
			for _, status := range []int{400, 403, 404, 500} {
				answer := &desk.Answer{Status: status, Body: body}
				f := refusal(answer, desk.AboutDesk, start)
				require.Equal(t, want.open, f.Kind)
				require.Contains(t, f.Public, kind)
				require.Equal(t, want.send, refusal(answer, desk.AboutSession, start).Kind)
				require.Equal(t, kind == "request_timeout", f.Sent == fault.MaybeSent)
			}
		})
	}
	f := refusal(&desk.Answer{Status: 400, Body: sample(t, "error.validation_no_agent_for_transfer.json")}, desk.AboutSession, start)
	require.Equal(t, fault.DeskRejected, f.Kind)
	require.Contains(t, f.Public, "nobody")
	f = refusal(&desk.Answer{Status: 421, Body: sample(t, "error.misdirected_request.json")}, desk.AboutSession, start)
	p, _ := errors.AsType[*problem](error(f))
	require.Equal(t, "dal", p.region)
	p = problemOf(&desk.Answer{Status: 500, Body: []byte(`{"error":{"type":"a secret <text>"}}`)})
	require.Empty(t, p.kind, "only what is known is shown")
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options simulator.Options
		fields  map[string]string
		prepare func(*account)
		kind    fault.Kind // "" = fine
		says    string
	}{
		"fine":            {},
		"other account":   {fields: map[string]string{fieldOrganizationID: "00000000-3e2f-4a1b-8c9d-0e1f2a3b4c5d"}, kind: fault.DeskUnauthorized, says: "organization id"},
		"unknown client":  {fields: map[string]string{fieldClientID: "00000000000000000000000000000000"}, kind: fault.DeskUnauthorized, says: "no app with this client id"},
		"no redirect URI": {options: simulator.Options{RedirectURIs: []string{}}, kind: fault.DeskUnauthorized, says: "whitelist in the block App Authorization (https://handoff.example.com/)"},
		"other one":       {fields: map[string]string{fieldRedirectURI: "https://other.example.com/"}, kind: fault.DeskUnauthorized, says: "not on the app's whitelist; add exactly it in the block App Authorization (https://other.example.com/)"},
		"not active":      {prepare: func(a *account) { a.SetInactive(true) }, kind: fault.DeskRejected, says: "not active"},
		"expired": {prepare: func(a *account) {
			a.Fail(failing(1, "get_dynamic_configuration", simulator.Failure{Status: 403, Type: "license_expired"}))
		}, kind: fault.DeskUnauthorized, says: "renew it"},
		"out of order":     {prepare: func(a *account) { a.Fail(failing(1, "token", simulator.Failure{Status: 503})) }, kind: fault.DeskUnavailable, says: "503"},
		"hangs up":         {prepare: func(a *account) { a.Fail(failing(1, "token", simulator.Failure{})) }, kind: fault.DeskUnavailable},
		"in another place": {options: simulator.Options{Region: "fra"}},
		"nobody there":     {prepare: func(a *account) { a.SetOffline(true) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t, c.options)
			if c.prepare != nil {
				c.prepare(a)
			}
			err := a.external(t, c.fields).Verify(t.Context())
			require.Equal(t, c.kind, fault.KindOf(err), err)
			if c.says != "" {
				require.Contains(t, err.Error(), c.says)
			}
		})
	}
}

// Checking again and again makes one customer, unless the memory keeps nothing.
func TestVerifyProbe(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	for range 3 {
		require.NoError(t, a.external(t, nil).Verify(t.Context()))
	}
	require.Len(t, a.Customers(), 1)
	d := a.external(t, nil)
	d.memory = refusing{}
	require.NoError(t, d.Verify(t.Context()))
	require.Len(t, a.Customers(), 2)
	require.Empty(t, a.Chats())
}

// refusing is the memory of a connection that is not stored yet.
type refusing struct{}

func (refusing) Get(context.Context, string) ([]byte, int64, error) {
	return nil, 0, fault.Missing("connection")
}

func (refusing) Put(context.Context, string, []byte, int64) (int64, error) {
	return 0, fault.Missing("connection")
}

// A chat whose identity cannot be kept is ended again: nobody could write into it.
func TestMemoryFails(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	m := &failingMemory{Memory: a.memory, prefix: "chat:"}
	d.memory = m
	_, err := d.Open(t.Context(), openRequest())
	require.Error(t, err)
	require.Equal(t, fault.MaybeSent, fault.As(err).Sent)
	require.False(t, a.Chats()[0].Threads[0].Active)
}

type failingMemory struct {
	desk.Memory
	prefix string
}

func (m *failingMemory) Put(ctx context.Context, key string, value []byte, version int64) (int64, error) {
	if strings.HasPrefix(key, m.prefix) {
		return 0, fault.New(fault.Internal, "internal error")
	}
	return m.Memory.Put(ctx, key, value, version)
}

// What is remembered fits into the memory of a connection.
func TestRecordFits(t *testing.T) {
	t.Parallel()
	value, err := encode(identity{
		EntityID: strings.Repeat("x", 36), CustomerC: strings.Repeat("x", maxCookieBytes), SecretC: strings.Repeat("x", maxCookieBytes),
		Token: strings.Repeat("x", maxTokenBytes), RefreshAt: start, Chat: strings.Repeat("x", 64), Thread: strings.Repeat("x", 64),
		Holder: strings.Repeat("x", 64), ClaimedAt: start, Once: true,
	})
	require.NoError(t, err)
	require.Less(t, len(value), 8<<10)
	d := newAccount(t, simulator.Options{}).external(t, nil)
	key, _ := d.identityKey(&desk.OpenRequest{}, maxIdentities)
	require.LessOrEqual(t, len(key), 200)
	ref := newRef(strings.Repeat("x", 64), strings.Repeat("x", 64))
	require.LessOrEqual(t, len((&insideDesk{account: accountOf("x")}).sessionKey(ref)), 200)
}

// The memory outlives a change of the fields: another account has other customers.
func TestAnotherAccount(t *testing.T) {
	t.Parallel()
	a := newAccount(t, simulator.Options{})
	d := a.external(t, nil)
	require.NoError(t, d.Verify(t.Context()))
	ref := open(t, d, opening("hof_1", openRequest().User))
	other := newAccount(t, simulator.Options{ClientID: "00000000000000000000000000000001"})
	other.memory = a.memory
	moved := other.external(t, map[string]string{fieldClientID: "00000000000000000000000000000001"})
	_, err := moved.Send(t.Context(), sendRequest(ref, "dlv_2", "hello"))
	require.Equal(t, fault.DeskGone, fault.KindOf(err))
	require.Empty(t, other.Requests())
	require.NoError(t, moved.Verify(t.Context()))
	open(t, moved, opening("hof_2", openRequest().User))
	require.Len(t, other.Chats(), 1)
}

func TestConnectChecksFields(t *testing.T) {
	t.Parallel()
	for _, mode := range []handoff.Mode{handoff.ModeExternalToDesk, handoff.ModeDeskToDesk} {
		_, err := Driver{}.Connect(desk.Settings{Mode: mode})
		require.Equal(t, fault.InvalidInput, fault.KindOf(err))
		require.Contains(t, fault.As(err).Field, "fields.")
	}
	d := Driver{RedirectURI: "https://handoff.example.com/"}.Describe()
	got, err := d.Check(handoff.ModeExternalToDesk, map[string]string{
		fieldOrganizationID: "7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d", fieldClientID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
	}, nil)
	require.NoError(t, err, "two inputs are enough")
	require.Equal(t, "https://handoff.example.com/", got[fieldRedirectURI])
	for _, uri := range []string{"handoff.example.com/", "https://handoff.example.com", "https://handoff.example.com/?x=1/", "https://handoff.example.com/#/"} {
		_, err = d.Check(handoff.ModeExternalToDesk, map[string]string{
			fieldOrganizationID: "7a6b5c4d-3e2f-4a1b-8c9d-0e1f2a3b4c5d", fieldClientID: "0f1e2d3c4b5a69788796a5b4c3d2e1f0", fieldRedirectURI: uri,
		}, nil)
		require.Equal(t, "fields."+fieldRedirectURI, fault.As(err).Field, uri)
	}
}
