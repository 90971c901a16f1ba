package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/app/apptest"
)

// TestGPTBotsConformance plays the checklist for a replacement of GPTBots' human
// handoff, seen from a developer's webhook server. The numbers are those of the
// list; what needs a clock is in TestGPTBotsConformanceInTime.
func TestGPTBotsConformance(t *testing.T) {
	items := map[string]func(*testing.T, *apptest.Service){
		"01 an existing server works after changing the host": conformanceExistingServer,
		"02 base URL with prefix and slash":                   conformanceBaseURL,
		"03 Basic authentication":                             conformanceBasic,
		"04 success rule of establish":                        conformanceSuccessRule,
		"05 shapes of every version":                          conformanceShapes,
		"07 the first message connects, in order":             conformanceConnects,
		"09 who closed":                                       conformanceWhoClosed,
		"10 nothing after the end":                            conformanceAfterTheEnd,
		"11 second request while active":                      conformanceAlreadyActive,
		"13 e-mail step":                                      conformanceEmail,
		"14 wrong keys":                                       conformanceKeys,
	}
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		s := apptest.Start(t, d, apptest.Options{})
		for name, item := range items {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				item(t, s.Service)
			})
		}
	})
}

func TestGPTBotsConformanceInTime(t *testing.T) {
	apptest.OnEachDatabase(t, func(t *testing.T, d *apptest.Database) {
		clock := apptest.NewClockAt(time.Date(2024, 12, 12, 0, 0, 0, 0, time.UTC))
		s := apptest.Start(t, d, apptest.Options{Clock: clock})
		t.Run("06 waiting", func(t *testing.T) { conformanceWaiting(t, s.Service, clock) })
		t.Run("08 session timeout", func(t *testing.T) { conformanceSession(t, s.Service, clock) })
		t.Run("12 service hours", func(t *testing.T) { conformanceHours(t, s.Service, clock) })
	})
}

// conformanceExistingServer has a server that was written from GPTBots' documents
// alone and knows of ours only the host. It greets while it still handles the
// request, as documents allow.
func conformanceExistingServer(t *testing.T, s *apptest.Service) {
	agent := s.NewAgent(t)
	call := func(path string, body map[string]any) {
		encoded, err := json.Marshal(body)
		if err != nil {
			t.Error(err)
			return
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, bytes.NewReader(encoded))
		if err != nil {
			t.Error(err)
			return
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+agent.Key())
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		var answer struct {
			Code    *int
			Message string
			Data    any
		}
		if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Code == nil || *answer.Code != 0 {
			t.Errorf("%s was answered with %d %+v %v", path, response.StatusCode, answer, err)
		}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			ConversationID string `json:"conversation_id"`
			Body           any
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		reply := func(text string) {
			call("/v1/human/message/receive", map[string]any{"conversation_id": in.ConversationID, "timestamp": time.Now().UnixMilli(), "body": text})
		}
		switch r.URL.Path {
		case "/human/service/conversation/establish":
			reply("Welcome.")
		case "/human/service/chat":
			if in.Body == "bye" {
				call("/v1/human/close", map[string]any{"conversation_id": in.ConversationID, "timestamp": time.Now().UnixMilli()})
			} else {
				reply(strings.ToUpper(fmt.Sprint(in.Body)))
			}
		case "/human/service/conversation/close":
			t.Error("the server is told of its own end")
		}
		_, _ = w.Write([]byte(`{"code":200,"message":"success"}`))
	}))
	t.Cleanup(server.Close)
	require.Equal(t, "AVAILABLE", agent.Connect("webhook", map[string]string{"url": server.URL + "/human/service"}).Status)
	agent.Set(apptest.Vars{"enabled": true})

	c := agent.Converse(nil)
	c.UserWrites("Let me talk to a person.")
	c.Connecting(apptest.Vars{"epoch": 1})
	c.Await("greeted", apptest.Text("Welcome."))
	c.UserWrites("hello")
	c.Await("answered", apptest.Text("HELLO"))
	c.UserWrites("bye")
	require.EqualValues(t, 3, backWithAgent(c, "OPERATOR_ENDED"))
	c.Log()
}

func conformanceBaseURL(t *testing.T, s *apptest.Service) {
	for _, slash := range []string{"", "/"} {
		desk := apptest.NewDesk(t)
		agent := s.NewAgent(t)
		agent.Desk = desk
		agent.Connect("webhook", map[string]string{"url": desk.URL + slash})
		agent.Set(apptest.Vars{"enabled": true})
		c := agent.Converse(nil)
		h := c.Connecting(nil)
		c.UserWrites("Hello?")
		_, err := c.TryUserEnds()
		require.NoError(t, err)
		require.Equal(t, []string{apptest.Establish, apptest.Chat, apptest.Close}, apptest.Paths(desk.AwaitSeen(t, h.DeskRef, 3)))
	}
}

func conformanceBasic(t *testing.T, s *apptest.Service) {
	for _, vector := range []struct{ username, password, header string }{
		{"desk-bridge", "s3cret-1", "Basic ZGVzay1icmlkZ2U6czNjcmV0LTE="},
		{"desk-bridge", "", "Basic ZGVzay1icmlkZ2U6"},
		{"客服", "pä55", "Basic 5a6i5pyNOnDDpDU1"},
		{"", "", ""},
	} {
		desk := apptest.NewDesk(t)
		c := s.NewAgent(t).WithWebhook(desk, "username", vector.username, "password", vector.password).Converse(nil)
		h := c.Connecting(nil)
		c.UserWrites("Hello?")
		for _, call := range desk.AwaitSeen(t, h.DeskRef, 2) {
			require.Equal(t, vector.header, call.Header.Get("Authorization"))
			require.Equal(t, "application/json", call.Header.Get("Content-Type"))
		}
	}
}

// conformanceSuccessRule plays the four that the list names; TestTransferFails and
// TestTransferSucceeds have the rest.
func conformanceSuccessRule(t *testing.T, s *apptest.Service) {
	for _, reaction := range []apptest.Reaction{
		{Status: 500}, {Status: 204, Body: "-"}, {Status: 302}, {Body: `{"code":50000,"message":"no"}`},
	} {
		desk := apptest.NewDesk(t)
		c := s.NewAgent(t).WithWebhook(desk).Converse(nil)
		desk.Script(func(apptest.Call) apptest.Reaction { return reaction })
		require.Equal(t, "TRANSFER_FAILED", c.Request(apptest.Vars{"waitSeconds": 30}).Outcome)
		require.Equal(t, 84, c.Await("busy", apptest.Notice("BUSY")).StatusCode)
		c.AgentWrites(3, "I keep serving.")
	}
}

// conformanceShapes: what we send can be read by a server of any version of the
// documents, and what servers send is read in any shape that they know.
func conformanceShapes(t *testing.T, s *apptest.Service) {
	desk := apptest.NewDesk(t)
	c := s.NewAgent(t).WithWebhook(desk).Converse(apptest.Vars{"channel": "WHATSAPP", "user": apptest.Vars{"phone": "+886912345678"}})
	c.UserWrites("Is the blue one in stock?")
	h := c.Connecting(nil)
	c.UserWrites("Is the blue one in stock?")
	_, err := c.TryUserEnds()
	require.NoError(t, err)
	calls := desk.AwaitSeen(t, h.DeskRef, 3)

	fields := func(raw []byte) (names []string) {
		var object map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(raw, &object))
		for name := range object {
			names = append(names, name)
		}
		return names
	}
	versionA := []string{"conversation_id", "timestamp", "email", "bot_id", "body"}
	require.ElementsMatch(t, append(versionA, "user_info"), fields(calls[0].Raw), "version D, and nothing that the documents do not have")
	var establish struct {
		UserInfo json.RawMessage `json:"user_info"`
	}
	require.NoError(t, json.Unmarshal(calls[0].Raw, &establish))
	require.JSONEq(t, `{"phone": "+886912345678", "email": null, "user_id": null, "anonymous_id": null}`, string(establish.UserInfo))
	require.JSONEq(t, fmt.Sprintf(`{"conversation_id":%q,"timestamp":%d,"body":"Is the blue one in stock?"}`, h.DeskRef, calls[1].Timestamp), string(calls[1].Raw))
	require.JSONEq(t, fmt.Sprintf(`{"conversation_id":%q,"timestamp":%d,"type":"USER_CLOSED"}`, h.DeskRef, calls[2].Timestamp), string(calls[2].Raw))
	for _, call := range calls {
		require.Less(t, time.Since(time.UnixMilli(call.Timestamp)).Abs(), time.Hour, "milliseconds")
	}

	c = s.NewAgent(t).WithWebhook(desk).Converse(nil)
	h = c.Connecting(nil)
	for _, body := range []string{
		`{"conversation_id":%q,"timestamp":1760000021000,"body":"plain"}`,
		`{"body":"other order","timestamp":1760000021001,"conversation_id":%q}`,
		`{"conversation_id":%q,"timestamp":1760000021002,"body":"more","bot_id":"x","email":null,"user_info":{"phone":null}}`,
		`{"conversation_id":%q,"timestamp":"1760000021003","body":"digits","files":{"url":"https://files.example.com/a.png","content_type":"image/png"}}`,
	} {
		require.Equal(t, apptest.Taken, s.Human(t, apptest.ReceivePath, c.Key(), fmt.Sprintf(body, h.DeskRef)))
	}
	require.Equal(t, []string{"plain", "other order", "more", "digits"}, apptest.TextsBy(c.Log(), "OPERATOR"))
}

func conformanceConnects(t *testing.T, s *apptest.Service) {
	desk := apptest.NewDesk(t)
	c := s.NewAgent(t).WithWebhook(desk).Converse(nil)
	h := c.Connecting(nil)
	texts := []string{"one", "two", "three"}
	for _, text := range texts {
		c.UserWrites(text)
	}
	require.Equal(t, texts, apptest.Texts(desk.AwaitSeen(t, h.DeskRef, 4)))
	require.Equal(t, "WAITING", c.Handoff().State)
	c.OperatorWrites("Hello.")
	require.Equal(t, 31, c.Await("connected", apptest.Notice("CONNECTED")).StatusCode)
	c.Await("the message behind it", apptest.Text("Hello."))
	c.Log()
}

func conformanceWhoClosed(t *testing.T, s *apptest.Service) {
	desk := apptest.NewDesk(t)
	agent := s.NewAgent(t).WithWebhook(desk)
	byUser := agent.Converse(nil)
	h := byUser.Connected(nil)
	_, err := byUser.TryUserEnds()
	require.NoError(t, err)
	require.Equal(t, 33, byUser.Await("the end", apptest.Notice("ENDED_BY_USER")).StatusCode)
	require.Equal(t, "USER_CLOSED", desk.AwaitSeen(t, h.DeskRef, 2)[1].Type)

	byOperator := agent.Converse(nil)
	h = byOperator.Connected(nil)
	byOperator.OperatorEnds()
	require.Equal(t, 34, byOperator.Await("the end", apptest.Notice("ENDED_BY_OPERATOR")).StatusCode)
	byOperator.Await("control back", apptest.Control("AGENT"))
	apptest.Eventually(t, "nothing is on its way", func() bool { return len(agent.Deliveries("")) == 0 })
	require.Equal(t, []string{apptest.Establish}, apptest.Paths(desk.CallsOf(h.DeskRef)), "the operator's own end is not echoed")
}

func conformanceAfterTheEnd(t *testing.T, s *apptest.Service) {
	c := s.NewAgent(t).WithWebhook(apptest.NewDesk(t)).Converse(nil)
	h := c.Connected(nil)
	_, err := c.TryUserEnds()
	require.NoError(t, err)
	answer, err := c.TryOperatorWrites(h.DeskRef, "too late", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusConflict, answer.Status)
	require.Equal(t, 40356, answer.Code)
	require.Equal(t, apptest.Taken, s.Human(t, apptest.EndPath, c.Key(), apptest.Vars{"conversation_id": h.DeskRef, "timestamp": 1}),
		"closing what is closed succeeds")
	backWithAgent(c, "USER_ENDED")
	require.Zero(t, apptest.Count(c.Log(), apptest.Text("too late")))
}

func conformanceAlreadyActive(t *testing.T, s *apptest.Service) {
	desk := apptest.NewDesk(t)
	c := s.NewAgent(t).WithWebhook(desk).Converse(nil)
	c.Connected(nil)
	require.Equal(t, "ALREADY_ACTIVE", c.Request(apptest.Vars{"waitSeconds": 5}).Outcome)
	c.UserWrites("behind whatever the request would have queued")
	require.Equal(t, []string{apptest.Establish, apptest.Chat}, apptest.Paths(desk.AwaitSeen(t, c.Handoff().DeskRef, 2)))
	require.Len(t, desk.Calls(), 2)
}

func conformanceEmail(t *testing.T, s *apptest.Service) {
	desk := apptest.NewDesk(t)
	agent := s.NewAgent(t).WithWebhook(desk)
	for name, c := range map[string]struct {
		channel string
		user    apptest.Vars
		set     string // by setEmail
		given   string // with the request
		want    string
	}{
		"a verified address":    {"WIDGET", apptest.Vars{"email": "a@example.com"}, "", "", "a@example.com"},
		"setEmail":              {"WIDGET", nil, "b@example.com", "", "b@example.com"},
		"by the page's address": {"IFRAME", nil, "", "c@example.com", "c@example.com"},
		"WhatsApp":              {"WHATSAPP", nil, "", "", "support@gptbots.ai"},
		"LINE":                  {"LINE", nil, "", "", "support@gptbots.ai"},
		"API":                   {"API", nil, "", "", "support@gptbots.ai"},
		"API with an address":   {"API", apptest.Vars{"email": "d@example.com"}, "", "", "d@example.com"},
	} {
		conversation := agent.ConverseUnwatched(apptest.Vars{"channel": c.channel, "user": c.user})
		if c.set != "" {
			conversation.User.Do(`mutation($c: ID!, $e: String!) { setEmail(input: {conversationId: $c, email: $e}) { conversation { id } } }`,
				apptest.Vars{"c": conversation.ID, "e": c.set}, nil)
		}
		request := apptest.Vars{"waitSeconds": 30}
		if c.given != "" {
			request["email"] = c.given
		}
		asked := conversation.Request(request)
		require.Equal(t, "CONNECTING", asked.Outcome, name)
		require.Equal(t, c.want, desk.AwaitSeen(t, asked.Handoff.DeskRef, 1)[0].Email, name)
	}
	require.Equal(t, "EMAIL_REQUIRED", agent.ConverseUnwatched(apptest.Vars{"channel": "WIDGET"}).Request(nil).Outcome)
}

// conformanceKeys: TestRefusedCallsOfTheDesk has every other mistake.
func conformanceKeys(t *testing.T, s *apptest.Service) {
	desk := apptest.NewDesk(t)
	c := s.NewAgent(t).WithWebhook(desk).Converse(nil)
	h := c.Connecting(nil)
	before := c.Log()
	for key, code := range map[string]int{"": 40127, "wrong": 40127, s.NewAgent(t).WithWebhook(desk).Key(): 40358} {
		for _, path := range []string{apptest.ReceivePath, apptest.EndPath} {
			answer := s.Human(t, path, key, apptest.Vars{"conversation_id": h.DeskRef, "timestamp": 1, "body": "x"})
			require.Equal(t, code, answer.Code)
		}
	}
	require.Equal(t, before, c.Log())
}

func conformanceWaiting(t *testing.T, s *apptest.Service, clock *apptest.Clock) {
	desk := apptest.NewDesk(t)
	agent := s.NewAgent(t).WithWebhook(desk)
	canary := agent.Converse(nil)
	canary.Connecting(nil)
	clock.Advance(100 * time.Millisecond)
	c := agent.Converse(nil)
	h := c.Connecting(nil)
	require.Equal(t, clock.Now().Add(60*time.Second), h.DeadlineAt.UTC())

	// When the canary's time comes, this one has a tenth of a second left.
	clock.Advance(59_900 * time.Millisecond)
	canary.Await("the canary asked", apptest.Notice("KEEP_WAITING"))
	require.Equal(t, "WAITING", c.Handoff().State)
	clock.Advance(100 * time.Millisecond)
	asked := c.Await("asked", apptest.Notice("KEEP_WAITING"))
	require.Equal(t, 30, asked.StatusCode)
	require.False(t, asked.At.Before(*h.DeadlineAt), "never early")

	kept, err := c.TryKeepWaiting()
	require.NoError(t, err)
	require.Equal(t, "WAITING", kept.State)
	require.Equal(t, clock.Now().Add(60*time.Second), kept.DeadlineAt.UTC(), "a fresh minute")
	clock.Advance(60 * time.Second)
	c.Await("asked again", apptest.Notice("KEEP_WAITING"))
	c.OperatorWrites("Here I am.")
	c.Await("connected", apptest.Notice("CONNECTED"))
	require.Equal(t, "ACTIVE", c.Handoff().State)

	// The canary gave no answer for one more minute.
	require.Equal(t, 35, canary.Await("the end", apptest.Notice("ENDED_BY_TIMEOUT")).StatusCode)
	canary.Await("control back", apptest.Control("AGENT"))
	require.Equal(t, "WAIT_TIMEOUT", canary.Handoff().Reason)
	require.Equal(t, "TIMEOUT", desk.AwaitSeen(t, canary.Handoff().DeskRef, 2)[1].Type)

	// Another one chooses to end when it is asked.
	chooses := agent.Converse(nil)
	chooses.Connecting(nil)
	clock.Advance(60 * time.Second)
	chooses.Await("asked", apptest.Notice("KEEP_WAITING"))
	_, err = chooses.TryUserEnds()
	require.NoError(t, err)
	backWithAgent(chooses, "WAIT_TIMEOUT")

	// Where nobody can be asked, and where the owner does not want it, it ends.
	whatsapp := agent.Converse(apptest.Vars{"channel": "WHATSAPP"})
	whatsapp.Connecting(nil)
	agent.Set(apptest.Vars{"waitAction": "END", "waitTimeoutSeconds": 5})
	ends := agent.Converse(nil)
	ends.Connecting(nil)
	clock.Advance(5 * time.Second)
	backWithAgent(ends, "WAIT_TIMEOUT")
	require.Equal(t, "WAITING", whatsapp.Handoff().State, "the timeout is the one of its beginning")
	clock.Advance(55 * time.Second)
	backWithAgent(whatsapp, "WAIT_TIMEOUT")
	for _, conversation := range []*apptest.Conversation{canary, c, chooses, whatsapp, ends} {
		require.LessOrEqual(t, apptest.Count(conversation.Log(), apptest.State("CLOSED")), 1)
	}
	require.Zero(t, apptest.Count(whatsapp.Log(), apptest.Notice("KEEP_WAITING")))
	require.Zero(t, apptest.Count(ends.Log(), apptest.Notice("KEEP_WAITING")))
}

func conformanceSession(t *testing.T, s *apptest.Service, clock *apptest.Clock) {
	desk := apptest.NewDesk(t)
	agent := s.NewAgent(t).WithWebhook(desk)
	canary := agent.Converse(nil)
	canary.Connected(nil)
	clock.Advance(100 * time.Millisecond)
	c := agent.Converse(nil)
	h := c.Connected(nil)
	answered := agent.Converse(nil)
	answered.Connected(nil)
	clock.Advance(100 * time.Second)
	answered.UserWrites("I am here.") // from now on nobody limits the operator
	require.Nil(t, answered.Handoff().DeadlineAt)

	clock.Advance(79_900 * time.Millisecond)
	backWithAgent(canary, "SESSION_TIMEOUT")
	require.Equal(t, "ACTIVE", c.Handoff().State, "a tenth of a second is left")
	c.OperatorWrites("Are you still there?") // three more minutes
	clock.Advance(180 * time.Second)
	require.Equal(t, 35, c.Await("the end", apptest.Notice("ENDED_BY_TIMEOUT")).StatusCode)
	c.Await("control back", apptest.Control("AGENT"))
	require.Equal(t, "SESSION_TIMEOUT", c.Handoff().Reason)
	closed := desk.AwaitSeen(t, h.DeskRef, 2)[1]
	require.Equal(t, apptest.Close, closed.Path)
	require.Equal(t, "TIMEOUT", closed.Type)
	require.Equal(t, "ACTIVE", answered.Handoff().State, "a silent operator never trips it")
	for _, conversation := range []*apptest.Conversation{canary, c, answered} {
		conversation.Log()
	}
}

func conformanceHours(t *testing.T, s *apptest.Service, clock *apptest.Clock) {
	desk := apptest.NewDesk(t)
	var rules []apptest.Vars
	for _, window := range [][2]string{{"09:00", "12:00"}, {"10:00", "12:00"}, {"13:00", "18:00"}, {"15:00", "17:00"}} {
		rules = append(rules, apptest.Vars{"kind": "DATED", "date": "2024-12-12", "start": window[0], "end": window[1]})
	}
	agent := s.NewAgent(t).WithWebhook(desk).Set(apptest.Vars{"hours": rules, "offHoursReply": "Wir haben Pause. 休息中"})
	var read struct {
		Agent struct {
			ServiceHours struct {
				Windows     []struct{ Start, End string }
				NextOpening time.Time
			}
		}
	}
	noon := time.Date(2024, 12, 12, 12, 0, 0, 0, time.UTC)
	agent.Runtime.Do(`query($a: ID!, $t: Time!) { agent(id: $a) { serviceHours { windows(date: "2024-12-12") { start end } nextOpening(after: $t) } } }`,
		apptest.Vars{"a": agent.ID, "t": noon.Format(time.RFC3339)}, &read)
	require.Equal(t, []struct{ Start, End string }{{"09:00", "12:00"}, {"13:00", "18:00"}}, read.Agent.ServiceHours.Windows)
	require.Equal(t, noon.Add(time.Hour), read.Agent.ServiceHours.NextOpening.UTC())

	clock.Advance(noon.Sub(clock.Now()))
	c := agent.Converse(nil)
	refused := c.Request(nil)
	require.Equal(t, "OUT_OF_SERVICE", refused.Outcome)
	require.Equal(t, "Wir haben Pause. 休息中", refused.Text)
	require.Equal(t, "Wir haben Pause. 休息中", c.Await("told", apptest.Notice("OUT_OF_HOURS")).Text)
	require.Empty(t, desk.Calls())
	clock.Advance(time.Hour)
	c.Connecting(nil)
}
