package webhook

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// sampleOpen is the request behind the documented sample of establish.
func sampleOpen() desk.OpenRequest {
	return desk.OpenRequest{
		Attempt:     desk.Attempt{DeliveryID: "dlv_01", At: time.UnixMilli(1_760_000_000_000)},
		HandoffID:   "hof_1",
		AgentID:     "66a1b0c23ce2b13cf2d57345",
		ProposedRef: "68e778000fa31d1ef64f5301",
		Channel:     handoff.ChannelWidget,
		User:        handoff.User{ID: "member-20417", AnonymousID: "68e777f05184b30540a6ea01", Name: "Mei", Email: "mei.lin@example.com"},
		EmailGiven:  true,
		Rounds: []desk.Round{{
			Question: desk.Text{Body: "Do you ship to Penghu?"},
			Answer:   desk.Text{Body: "Yes, delivery to Penghu takes five to seven days."},
		}},
		Question: desk.Text{Body: "My parcel is late, let me talk to a person."},
	}
}

func TestSamplesByteForByte(t *testing.T) {
	t.Parallel()
	server := newDeveloper(t, answering(200, sample(t, "04-establish.response.ok.json")))
	d := connect(t, map[string]string{fieldURL: server.URL + "/human/service"})

	opened, err := d.Open(t.Context(), sampleOpen())
	require.NoError(t, err)
	require.Equal(t, "68e778000fa31d1ef64f5301", opened.Ref)
	_, err = d.Send(t.Context(), desk.SendRequest{
		Attempt: desk.Attempt{DeliveryID: "dlv_02", At: time.UnixMilli(1_760_000_005_250)},
		Ref:     opened.Ref, Text: desk.Text{Body: "Is the blue one in stock?"},
	})
	require.NoError(t, err)
	for at, reason := range map[int64]handoff.CloseReason{
		1_760_000_301_000: handoff.ReasonUserEnded, 1_760_000_480_000: handoff.ReasonSessionTimeout,
	} {
		require.NoError(t, d.Close(t.Context(), desk.CloseRequest{
			Attempt: desk.Attempt{DeliveryID: "dlv_03", At: time.UnixMilli(at)}, Ref: opened.Ref, Reason: reason,
		}))
	}

	got := server.requests()
	require.Len(t, got, 4)
	for i, path := range []string{"/conversation/establish", "/chat", "/conversation/close", "/conversation/close"} {
		require.Equal(t, "POST", got[i].Method)
		require.Equal(t, "/human/service"+path, got[i].Path)
		require.Equal(t, []string{"application/json"}, got[i].Header["Content-Type"])
		delete(got[i].Header, "Content-Type")
		delete(got[i].Header, "Content-Length")
		delete(got[i].Header, "User-Agent")
		require.Empty(t, got[i].Header, "the contract lists no other header")
	}
	require.Equal(t, sample(t, "01-establish.request.json"), got[0].Body)
	require.Equal(t, `{"conversation_id":"68e778000fa31d1ef64f5301","timestamp":1760000005250,"body":"Is the blue one in stock?"}`, got[1].Body)
	require.Len(t, got[1].Body, 107)
	require.Equal(t, sample(t, "06-chat.request.json"), got[1].Body)
	require.ElementsMatch(t, []string{
		sample(t, "08-conversation-close.request.user-closed.json"), sample(t, "09-conversation-close.request.timeout.json"),
	}, []string{got[2].Body, got[3].Body})
}

func TestEstablish(t *testing.T) {
	t.Parallel()
	build := func(change func(*desk.OpenRequest), extended bool) string {
		r := sampleOpen()
		change(&r)
		out, err := encode(newEstablish(&r, "fallback@example.com", extended))
		require.NoError(t, err)
		return string(out)
	}
	image := handoff.Attachment{URL: "https://files.example.com/u/box.jpg?a=1&b=<2>", ContentType: "image/jpeg", Name: "box.jpg", SizeBytes: 9}
	for name, c := range map[string]struct {
		change   func(*desk.OpenRequest)
		extended bool
		want     string
	}{
		"nobody wrote anything, nothing known": {
			func(r *desk.OpenRequest) {
				r.User, r.EmailGiven, r.Rounds, r.Question = handoff.User{}, false, nil, desk.Text{}
			}, false,
			`{"conversation_id":"68e778000fa31d1ef64f5301","timestamp":1760000000000,"email":"fallback@example.com","bot_id":"66a1b0c23ce2b13cf2d57345",` +
				`"body":[{"message_type":"QUESTION","text":""},{"message_type":"ANSWER","text":""}],` +
				`"user_info":{"phone":null,"email":null,"user_id":null,"anonymous_id":null}}`,
		},
		"only a greeting before": {
			func(r *desk.OpenRequest) {
				r.User, r.EmailGiven, r.Question = handoff.User{}, false, desk.Text{}
				r.Rounds = []desk.Round{{Answer: desk.Text{Body: "Hello!"}}}
			}, false,
			`{"conversation_id":"68e778000fa31d1ef64f5301","timestamp":1760000000000,"email":"fallback@example.com","bot_id":"66a1b0c23ce2b13cf2d57345",` +
				`"body":[{"message_type":"QUESTION","text":""},{"message_type":"ANSWER","text":"Hello!"},{"message_type":"QUESTION","text":""},{"message_type":"ANSWER","text":""}],` +
				`"user_info":{"phone":null,"email":null,"user_id":null,"anonymous_id":null}}`,
		},
		"the Agent's fallback address is not the User's": {
			func(r *desk.OpenRequest) {
				r.User = handoff.User{Email: "shop@example.com", Phone: "+886912345678"}
				r.EmailGiven, r.Rounds = false, nil
				r.Question = desk.Text{Body: "<b>1 & 2</b>\u2028 \"q\" 客服 🙂", Attachments: []handoff.Attachment{image}}
			}, false,
			`{"conversation_id":"68e778000fa31d1ef64f5301","timestamp":1760000000000,"email":"shop@example.com","bot_id":"66a1b0c23ce2b13cf2d57345",` +
				`"body":[{"message_type":"QUESTION","text":"<b>1 & 2</b>\u2028 \"q\" 客服 🙂\nhttps://files.example.com/u/box.jpg?a=1&b=<2>"},{"message_type":"ANSWER","text":""}],` +
				`"user_info":{"phone":"+886912345678","email":null,"user_id":null,"anonymous_id":null}}`,
		},
		"extended": {
			func(r *desk.OpenRequest) {
				r.Channel, r.Language, r.Note, r.Summary = handoff.ChannelLine, "zh-TW", "angry", "late parcel"
				r.CustomFields = map[string]string{"plan": "gold", "city": "Penghu"}
				r.Rounds[0].Question.Attachments = []handoff.Attachment{image}
				r.Question = desk.Text{Attachments: []handoff.Attachment{image, {URL: "https://files.example.com/2"}}}
			}, true,
			`{"conversation_id":"68e778000fa31d1ef64f5301","timestamp":1760000000000,"email":"mei.lin@example.com","bot_id":"66a1b0c23ce2b13cf2d57345","conversation_type":"LINE",` +
				`"body":[{"message_type":"QUESTION","text":"Do you ship to Penghu?\nhttps://files.example.com/u/box.jpg?a=1&b=<2>","files":{"content_type":"image/jpeg","url":"https://files.example.com/u/box.jpg?a=1&b=<2>","name":"box.jpg"}},` +
				`{"message_type":"ANSWER","text":"Yes, delivery to Penghu takes five to seven days."},` +
				`{"message_type":"QUESTION","text":"https://files.example.com/u/box.jpg?a=1&b=<2>\nhttps://files.example.com/2","files":[{"content_type":"image/jpeg","url":"https://files.example.com/u/box.jpg?a=1&b=<2>","name":"box.jpg"},{"url":"https://files.example.com/2"}]},` +
				`{"message_type":"ANSWER","text":""}],` +
				`"user_info":{"user_name":"Mei","phone":null,"email":"mei.lin@example.com","user_id":"member-20417","anonymous_id":"68e777f05184b30540a6ea01"},` +
				`"handoff_id":"hof_1","language":"zh-TW","note":"angry","summary":"late parcel","custom_fields":{"city":"Penghu","plan":"gold"}}`,
		},
		"switched off, extended fields stay at home": {
			func(r *desk.OpenRequest) {
				r.Channel, r.Language, r.Note, r.Summary = handoff.ChannelLine, "zh-TW", "angry", "late parcel"
				r.CustomFields = map[string]string{"plan": "gold"}
			}, false, sample(t, "01-establish.request.json"),
		},
	} {
		require.Equal(t, c.want, strings.ReplaceAll(build(c.change, c.extended), "\u2028", `\u2028`), name)
	}
}

func TestEveryChannelHasATypeInExtendedMode(t *testing.T) {
	t.Parallel()
	for _, c := range handoff.Channels {
		require.NotEmpty(t, conversationTypes[c], c)
	}
}

func TestChatWithFiles(t *testing.T) {
	t.Parallel()
	server := newDeveloper(t, nil)
	message := desk.SendRequest{Ref: "r", Attempt: desk.Attempt{At: time.UnixMilli(1)}, Text: desk.Text{
		Body: "see", Attachments: []handoff.Attachment{{URL: "https://files.example.com/a", ContentType: "audio/mpeg"}},
	}}
	for _, extended := range []string{"off", "on"} {
		_, err := connect(t, map[string]string{fieldURL: server.URL, fieldExtended: extended}).Send(t.Context(), message)
		require.NoError(t, err)
	}
	got := server.requests()
	require.Equal(t, `{"conversation_id":"r","timestamp":1,"body":"see\nhttps://files.example.com/a"}`, got[0].Body)
	require.Equal(t, `{"conversation_id":"r","timestamp":1,"body":"see\nhttps://files.example.com/a","files":{"content_type":"audio/mpeg","url":"https://files.example.com/a"}}`, got[1].Body)
}

func TestBaseURLs(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"https://desk.example.com":                 "https://desk.example.com",
		"https://desk.example.com/":                "https://desk.example.com",
		"https://desk.example.com/human/service":   "https://desk.example.com/human/service",
		"https://desk.example.com/human/service/":  "https://desk.example.com/human/service",
		"https://desk.example.com/human/service//": "https://desk.example.com/human/service/",
		"http://desk.example.com:8443/a%20b":       "http://desk.example.com:8443/a%20b",
		"https://[2001:db8::1]:8443/x":             "https://[2001:db8::1]:8443/x",
		"HTTPS://DESK.example.com/X":               "https://DESK.example.com/X",
		"https://bücher.example/":                  "https://b%C3%BCcher.example",
	} {
		got, err := parseBase(given)
		require.NoError(t, err, given)
		if !strings.Contains(given, "bücher") {
			require.Equal(t, want, got)
		}
	}
	for _, given := range []string{
		"", "desk.example.com", "/human/service", "ftp://desk.example.com", "https://", "https:///x", "https:desk", "http://:8080",
		"https://user:canary@desk.example.com", "https://user@desk.example.com", "https://desk.example.com?token=canary", "https://desk.example.com/?",
		"https://desk.example.com/#x", "https://desk.example.com/#", "https://desk.example.com:0", "https://desk.example.com:65536",
		"https://desk.example.com:port", "https://desk example.com", "https://desk.example.com/%zz", "javascript:alert(1)", "http://[::1", "https://\x00",
	} {
		_, err := parseBase(given)
		f := fault.As(err)
		require.NotNil(t, f, given)
		require.Equal(t, fault.InvalidInput, f.Kind, given)
		require.Equal(t, "fields.url", f.Field, given)
		require.NotContains(t, f.Error(), "canary")
	}
}

func TestConnectNamesTheField(t *testing.T) {
	t.Parallel()
	for field, value := range map[string]string{
		fieldUsername: "a:b", fieldDefaultEmail: "nobody", fieldSigningSecret: "whsec_canary", fieldURL: "x",
	} {
		fields := map[string]string{fieldURL: "https://desk.example.com"}
		fields[field] = value
		_, err := Driver{}.Connect(settings(fields))
		require.Equal(t, "fields."+field, fault.As(err).Field)
		require.NotContains(t, err.Error(), "canary")
	}
}

func TestBasicAuthentication(t *testing.T) {
	t.Parallel()
	server := newDeveloper(t, nil)
	for _, c := range []struct{ user, password, want string }{
		{"desk-bridge", "s3cret-1", "Basic ZGVzay1icmlkZ2U6czNjcmV0LTE="},
		{"desk-bridge", "", "Basic ZGVzay1icmlkZ2U6"},
		{"客服", "pä55", "Basic 5a6i5pyNOnDDpDU1"},
		{"", "s3cret-1", "Basic OnMzY3JldC0x"},
		{"a", "b:c", "Basic YTpiOmM="},
		{"", "", ""},
	} {
		d := connect(t, map[string]string{fieldURL: server.URL, fieldUsername: c.user, fieldPassword: c.password})
		require.NoError(t, d.Close(t.Context(), desk.CloseRequest{Ref: "r"}))
		require.NoError(t, d.Verify(t.Context()))
		for _, got := range server.requests()[len(server.requests())-2:] {
			require.Equal(t, c.want, got.Header.Get("Authorization"))
		}
	}
}

func TestSignedMode(t *testing.T) {
	t.Parallel()
	server := newDeveloper(t, nil)
	d := connect(t, map[string]string{
		fieldURL: server.URL, fieldSigningSecret: secret1 + " " + secret2,
	})
	send := func(repeat bool) received {
		_, err := d.Send(t.Context(), desk.SendRequest{
			Attempt: desk.Attempt{DeliveryID: "dlv_01", At: time.UnixMilli(1_760_000_005_250), Repeat: repeat},
			Ref:     "68e778000fa31d1ef64f5301", Text: desk.Text{Body: "Is the blue one in stock?"},
		})
		require.NoError(t, err)
		all := server.requests()
		return all[len(all)-1]
	}
	first, again := send(false), send(true)
	require.Equal(t, first, again, "a repeat has the same id, timestamp and bytes")
	require.Equal(t, "dlv_01", first.Header.Get("webhook-id"))
	require.Equal(t, "1760000006", first.Header.Get("webhook-timestamp"))
	// Computed with openssl dgst -sha256 -hmac over "dlv_01.1760000006." and the body.
	require.Equal(t, "v1,NIoRnDsnb+GHtDbvcZWzvw4HSl05q01xCqYK3iX8AKQ= v1,vT5jpU5MMUOZLVQ3LBKw/lfEm4gz5GIZY4PDscm2p3k=",
		first.Header.Get("webhook-signature"))

	require.NoError(t, d.Verify(t.Context()))
	all := server.requests()
	require.True(t, strings.HasPrefix(all[len(all)-1].Header.Get("webhook-id"), "verify_"))
	require.NotEmpty(t, all[len(all)-1].Header.Get("webhook-signature"), "a strict server answers only what is signed")
}

func TestSuccessRule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status int
		body   string
		open   fault.Kind // "" = success
		chat   fault.Kind
	}{
		{200, "", "", ""},
		{200, "ok", "", ""},
		{200, "<html>", "", ""},
		{200, "[]", "", ""},
		{200, "null", "", ""},
		{200, "17", "", ""},
		{200, `"code"`, "", ""},
		{200, "{}", "", ""},
		{200, `{"message":"success"}`, "", ""},
		{200, `{"code":0}`, "", ""},
		{200, `{"code":200,"message":"success"}`, "", ""},
		{200, `{"data":{"code":500},"code":0}`, "", ""},
		{200, `{"code":null}`, "", ""},
		{200, `{"code":"0"}`, "", ""},
		{200, `{"code":" 200 "}`, "", ""},
		{200, `{"code":200.0}`, "", ""},
		{200, "\xef\xbb\xbf" + `{"code":200}`, "", ""},
		{200, `{"code`, "", ""},
		{200, `{"code":`, "", ""},
		{200, `{"a":`, "", ""},
		{200, `{"data":"` + strings.Repeat("x", 2*desk.MaxAnswerBytes) + `","code":1}`, "", ""}, // the code is out of sight
		{200, `{"code":1}`, fault.DeskRejected, fault.DeskRejected},
		{200, `{"code":-1}`, fault.DeskRejected, fault.DeskRejected},
		{200, `{"code":"OK"}`, fault.DeskRejected, fault.DeskRejected},
		{200, `{"code":true}`, fault.DeskRejected, fault.DeskRejected},
		{200, `{"code":{}}`, fault.DeskRejected, fault.DeskRejected},
		{200, `{"code":0.5}`, fault.DeskRejected, fault.DeskRejected},
		{200, `{"code":1e99}`, fault.DeskRejected, fault.DeskRejected},
		{200, `{"code":204}`, fault.DeskRejected, fault.DeskRejected},
		{200, `{"code":40000,"message":"canary"}`, fault.DeskRejected, fault.DeskRejected},
		{200, sample(t, "05-establish.response.error.json"), fault.DeskUnavailable, fault.DeskUnavailable},
		{200, `{"code":500}`, fault.DeskUnavailable, fault.DeskUnavailable},
		{200, `{"code":503,"stack":"` + strings.Repeat("x", 2*desk.MaxAnswerBytes) + `"}`, fault.DeskUnavailable, fault.DeskUnavailable},
		{200, sample(t, "15-inbound.response.unauthorized.json"), fault.DeskUnauthorized, fault.DeskUnauthorized},
		{200, `{"code":401}`, fault.DeskUnauthorized, fault.DeskUnauthorized},
		{200, `{"code":40356}`, fault.DeskRejected, fault.DeskGone},
		{200, `{"code":40358}`, fault.DeskRejected, fault.DeskGone},
		{200, `{"code":404}`, fault.DeskRejected, fault.DeskGone},
		{200, `{"code":40001}`, fault.DeskRateLimited, fault.DeskRateLimited},
		{201, `{"code":200}`, fault.DeskRejected, fault.DeskRejected},
		{202, "", fault.DeskRejected, fault.DeskRejected},
		{204, "", fault.DeskRejected, fault.DeskRejected},
		{302, `{"code":200}`, fault.DeskRejected, fault.DeskRejected},
		{400, `{"code":200}`, fault.DeskRejected, fault.DeskRejected},
		{404, `{"code":200}`, fault.DeskRejected, fault.DeskGone},
		{500, `{"code":200}`, fault.DeskUnavailable, fault.DeskUnavailable},
	} {
		server := newDeveloper(t, answering(c.status, c.body))
		d := connect(t, map[string]string{fieldURL: server.URL})
		_, err := d.Open(t.Context(), sampleOpen())
		require.Equal(t, c.open, fault.KindOf(err), "%d %.60s", c.status, c.body)
		if err != nil {
			require.Equal(t, fault.Sent, fault.As(err).Sent)
			require.NotContains(t, err.Error(), "canary")
		}
		_, err = d.Send(t.Context(), desk.SendRequest{Ref: "r", Text: desk.Text{Body: "hi"}})
		require.Equal(t, c.chat, fault.KindOf(err), "%d %.60s", c.status, c.body)
		err = d.Close(t.Context(), desk.CloseRequest{Ref: "r"})
		if c.chat == fault.DeskGone {
			require.NoError(t, err, "what is gone is closed")
		} else {
			require.Equal(t, c.chat, fault.KindOf(err), "%d %.60s", c.status, c.body)
		}
		server.Close()
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]fault.Kind{
		200: "", 204: "", 301: "", 400: "", 404: "", 405: "", 418: "", 429: "", 501: fault.DeskUnavailable,
		401: fault.DeskUnauthorized, 403: fault.DeskUnauthorized, 500: fault.DeskUnavailable, 503: fault.DeskUnavailable,
	} {
		server := newDeveloper(t, answering(status, ""))
		d := connect(t, map[string]string{fieldURL: server.URL + "/human/service/"})
		require.Equal(t, want, fault.KindOf(d.Verify(t.Context())), status)
		methods := []string{"HEAD"}
		if status == 405 || status == 501 {
			methods = append(methods, "GET")
		}
		for i, r := range server.requests() {
			require.Equal(t, methods[i], r.Method, status)
			require.Equal(t, "/human/service", r.Path)
			require.Empty(t, r.Body)
			require.Empty(t, r.Header.Get("Content-Type"))
		}
		require.Len(t, server.requests(), len(methods), status)
		server.Close()
		require.Equal(t, fault.DeskUnavailable, fault.KindOf(d.Verify(t.Context())), "nobody there")
	}
	// A server that knows no HEAD and refuses the credentials on GET.
	server := newDeveloper(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(map[string]int{"HEAD": 405, "GET": 401}[r.Method])
	})
	require.Equal(t, fault.DeskUnauthorized, fault.KindOf(connect(t, map[string]string{fieldURL: server.URL}).Verify(t.Context())))
}

func TestCloseTypes(t *testing.T) {
	t.Parallel()
	for _, reason := range handoff.CloseReasons {
		want := userClosed
		switch reason {
		case handoff.ReasonSessionTimeout, handoff.ReasonWaitTimeout, handoff.ReasonTransferFailed:
			want = timedOut
		default:
		}
		require.Equal(t, want, closeType(reason), reason)
	}
}

func TestFilesAreReadInBothForms(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]files{
		`null`:               nil,
		`[]`:                 {},
		`{"url":"u"}`:        {{URL: "u"}},
		`[{"url":"u"}]`:      {{URL: "u"}},
		` [{"url":"u"},{}]`:  {{URL: "u"}, {}},
		`{"content_type":1}`: nil,
		`"x"`:                nil,
		`[1]`:                nil,
	} {
		var got files
		err := json.Unmarshal([]byte(text), &got)
		if want == nil && text != "null" {
			require.Error(t, err, text)
			continue
		}
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
}

// An answer that the User has read before asking for a human stands in the last ANSWER.
func TestEstablishCarriesTheAnswerToTheNewestQuestion(t *testing.T) {
	t.Parallel()
	body := newEstablish(&desk.OpenRequest{
		Question: desk.Text{Body: "Where is my parcel?"}, Answer: desk.Text{Body: "At the customs office."},
	}, "", false).Body
	require.Equal(t, []turn{
		{MessageType: question, Text: "Where is my parcel?"},
		{MessageType: answer, Text: "At the customs office."},
	}, body)
}
