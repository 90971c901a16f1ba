package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func receive(t testing.TB, d desk.Desk, path, body string, header http.Header) ([]handoff.DeskEvent, error) {
	t.Helper()
	return d.Receive(t.Context(), desk.Inbound{Path: path, Header: header, Body: []byte(body), ReceivedAt: now})
}

func TestReceiveSamples(t *testing.T) {
	t.Parallel()
	d := connect(t, map[string]string{fieldURL: "https://desk.example.com"})
	events, err := receive(t, d, pathMessage, sample(t, "11-human-message-receive.request.json"), nil)
	require.NoError(t, err)
	require.Equal(t, []handoff.DeskEvent{{
		Kind: handoff.DeskMessage, Ref: "68e778000fa31d1ef64f5301", At: time.UnixMilli(1_760_000_021_000).UTC(),
		Text: "Hello, this is Jo from support. I am checking your parcel now.",
		// Computed with Python's hashlib over the lengths and parts.
		ID: "content:3cd269040a191b5c176e7f241e54afb3bd2154e4d551e6a19fa2852610fb8f8d",
	}}, events)

	events, err = receive(t, d, pathEnd, sample(t, "13-human-close.request.json"), nil)
	require.NoError(t, err)
	require.Equal(t, []handoff.DeskEvent{{
		Kind: handoff.DeskEnded, Ref: "68e778000fa31d1ef64f5301", At: time.UnixMilli(1_760_000_290_000).UTC(),
		ID: "content:4656e73e44dff6b3d3f9e4af371b85a3465f74cea3955dad4da7efe7f38fbf3d",
	}}, events)
}

func TestReceiveTolerates(t *testing.T) {
	t.Parallel()
	d := connect(t, map[string]string{fieldURL: "https://desk.example.com"})
	at := time.UnixMilli(1_760_000_021_000).UTC()
	file := handoff.Attachment{URL: "https://files.example.com/a.png", ContentType: "image/png"}
	for body, want := range map[string]handoff.DeskEvent{
		`{"conversation_id":"r","timestamp":"1760000021000","body":"hi"}`:                                                                            {Text: "hi"},
		` {"body":"hi","new_field":{"a":[1]},"timestamp":1760000021000,"conversation_id":"r"}`:                                                       {Text: "hi"},
		`{"conversation_id":"r","timestamp":1760000021000,"body":"  hi\n "}`:                                                                         {Text: "  hi\n "},
		`{"conversation_id":"r","timestamp":1760000021000,"body":"hi","agent_name":" Jo "}`:                                                          {Text: "hi", OperatorName: "Jo"},
		`{"conversation_id":"r","timestamp":1760000021000,"body":"hi","agent_name":null,"files":null,"message_id":null}`:                             {Text: "hi"},
		`{"conversation_id":"r","timestamp":1760000021000,"body":"","files":[{"content_type":"image/png","url":"https://files.example.com/a.png"}]}`: {Attachments: []handoff.Attachment{file}},
		`{"conversation_id":"r","timestamp":1760000021000,"files":{"content_type":"image/png","url":"https://files.example.com/a.png"}}`:             {Attachments: []handoff.Attachment{file}},
		`{"conversation_id":"r","timestamp":1760000021000,"body":"see","files":[{"url":"https://files.example.com/b","name":"B.pdf"}]}`:              {Text: "see", Attachments: []handoff.Attachment{{URL: "https://files.example.com/b", Name: "B.pdf"}}},
		`{"conversation_id":"r","timestamp":1760000021000,"body":"\ud83d\ude42 <b>&amp;"}`:                                                           {Text: "🙂 <b>&amp;"},
	} {
		events, err := receive(t, d, pathMessage, body, nil)
		require.NoError(t, err, body)
		require.Len(t, events, 1)
		require.True(t, strings.HasPrefix(events[0].ID, "content:"))
		events[0].ID = ""
		want.Kind, want.Ref, want.At = handoff.DeskMessage, "r", at
		require.Equal(t, want, events[0], body)
	}
	// On close, the fields of a message mean nothing.
	_, err := receive(t, d, pathEnd, `{"conversation_id":"r","timestamp":1,"body":7,"files":"x","agent_name":[]}`, nil)
	require.NoError(t, err)
}

func TestReceiveRefuses(t *testing.T) {
	t.Parallel()
	d := connect(t, map[string]string{fieldURL: "https://desk.example.com"})
	message := func(field, value string) string {
		fields := map[string]string{"conversation_id": `"r"`, "timestamp": "1760000021000", "body": `"hi"`}
		fields[field] = value
		var parts []string
		for name, value := range fields {
			if value != "" {
				parts = append(parts, `"`+name+`":`+value)
			}
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	for field, values := range map[string][]string{
		"conversation_id": {"", "null", `""`, `" "`, "1", "{}", `"a\u0000b"`},
		"timestamp":       {"", "null", `""`, `"x"`, "1.5", "1e3", "-1", "253402300800000", "99999999999999999999", "true", `"2026-01-01T00:00:00Z"`},
		"body":            {"", "null", `""`, `" \n\t"`, "7", "[]", `"a\u0000"`, `"` + strings.Repeat("客", handoff.MaxTextRunes+1) + `"`},
		"agent_name":      {"7", `"a\nb"`, `"` + strings.Repeat("x", handoff.MaxIdentityRunes+1) + `"`},
		"message_id":      {"{}", "[]", "true", `"\u0000"`},
		"files":           {`"x"`, "7", `["x"]`, `{"url":7}`},
	} {
		for _, value := range values {
			events, err := receive(t, d, pathMessage, message(field, value), nil)
			f := fault.As(err)
			require.NotNil(t, f, "%s %s", field, value)
			require.Equal(t, fault.InvalidInput, f.Kind, "%s %s", field, value)
			require.Equal(t, field, f.Field, value)
			require.Empty(t, events)
		}
	}
	for _, files := range []string{`{}`, `[{"url":"ftp://x/y"}]`, `[{"url":"javascript:alert(1)"}]`, `[{"url":"/a"}]`, `[null]`} {
		_, err := receive(t, d, pathMessage, message("files", files), nil)
		require.Equal(t, fault.InvalidInput, fault.KindOf(err), files)
		require.Equal(t, "files[0].url", fault.As(err).Field, files)
	}
	_, err := receive(t, d, pathMessage, message("files", "["+strings.Repeat(`{"url":"https://a.example/"},`, handoff.MaxAttachments)+`{"url":"https://a.example/"}]`), nil)
	require.Equal(t, "files", fault.As(err).Field)

	for _, garbage := range []string{"", " ", "x", "[]", `"x"`, "7", `{"conversation_id":`, `{"conversation_id":"r"} {}`, "\x00", "\xff\xfe"} {
		for _, path := range []string{pathMessage, pathEnd} {
			_, err := receive(t, d, path, garbage, nil)
			require.Equal(t, fault.InvalidInput, fault.KindOf(err), garbage)
			require.Empty(t, fault.As(err).Field)
		}
	}
	_, err = receive(t, d, "message/send", message("", ""), nil)
	require.Equal(t, fault.NotFound, fault.KindOf(err))
	_, err = receive(t, d, pathMessage, message("body", `"`+strings.Repeat("客", handoff.MaxTextRunes)+`"`), nil)
	require.NoError(t, err, "the longest text")
}

func TestRepeatsAreRecognised(t *testing.T) {
	t.Parallel()
	d := connect(t, map[string]string{fieldURL: "https://desk.example.com"})
	id := func(path, body, header string) string {
		h := http.Header{}
		if header != "" {
			h.Set("webhook-id", header)
		}
		events, err := receive(t, d, path, body, h)
		require.NoError(t, err)
		return events[0].ID
	}
	const plain = `{"conversation_id":"r","timestamp":1,"body":"hi"}`
	require.Equal(t, id(pathMessage, plain, ""), id(pathMessage, `{"body":"hi","timestamp":"1","conversation_id":"r","x":1}`, ""))
	ids := []string{
		id(pathMessage, plain, ""),
		id(pathMessage, `{"conversation_id":"r","timestamp":2,"body":"hi"}`, ""),
		id(pathMessage, `{"conversation_id":"s","timestamp":1,"body":"hi"}`, ""),
		id(pathMessage, `{"conversation_id":"r","timestamp":1,"body":"ho"}`, ""),
		id(pathMessage, `{"conversation_id":"r1","timestamp":1,"body":"hi"}`, ""),
		id(pathMessage, `{"conversation_id":"r","timestamp":11,"body":"hi"}`, ""),
		id(pathMessage, `{"conversation_id":"r","timestamp":1,"body":"hi","files":[{"url":"https://a.example/1"}]}`, ""),
		id(pathMessage, `{"conversation_id":"r","timestamp":1,"body":"hi","files":[{"url":"https://a.example/2"}]}`, ""),
		id(pathEnd, plain, ""),
		"message:m1", "message:7", "delivery:d1",
	}
	unique := map[string]bool{}
	for _, id := range ids {
		unique[id] = true
	}
	require.Len(t, unique, len(ids), ids)

	withID := `{"conversation_id":"r","timestamp":1,"body":"hi","message_id":"m1"}`
	require.Equal(t, "message:m1", id(pathMessage, withID, ""))
	require.Equal(t, "message:7", id(pathMessage, `{"conversation_id":"r","timestamp":1,"body":"hi","message_id":7}`, ""))
	require.Equal(t, "delivery:d1", id(pathMessage, withID, "d1"), "the delivery id counts first")
	for _, odd := range []string{strings.Repeat("x", maxID+1), "a\x01b", "\xff"} {
		hashed := id(pathMessage, plain, odd)
		require.True(t, strings.HasPrefix(hashed, "delivery:sha256:"))
		require.Len(t, hashed, len("delivery:sha256:")+64)
	}
	require.Equal(t, "delivery:"+strings.Repeat("x", maxID), id(pathMessage, plain, strings.Repeat("x", maxID)))
}

func TestReceiveChecksASignatureThatIsThere(t *testing.T) {
	t.Parallel()
	body := sample(t, "11-human-message-receive.request.json")
	signed := connect(t, map[string]string{fieldURL: "https://desk.example.com", fieldSigningSecret: secret1})
	plain := connect(t, map[string]string{fieldURL: "https://desk.example.com"})
	h := http.Header{}
	mustSigner(t, secret1).sign(h, "msg_1", now, []byte(body))

	events, err := receive(t, signed, pathMessage, body, h)
	require.NoError(t, err)
	require.Equal(t, "delivery:msg_1", events[0].ID)
	_, err = receive(t, signed, pathMessage, body+" ", h)
	require.Equal(t, fault.Unauthenticated, fault.KindOf(err))
	_, err = receive(t, signed, pathMessage, "garbage", h)
	require.Equal(t, fault.Unauthenticated, fault.KindOf(err), "checked before anything is read")
	h.Set("webhook-signature", "v1,x")
	_, err = receive(t, signed, pathEnd, body, h)
	require.Equal(t, fault.Unauthenticated, fault.KindOf(err))
	_, err = receive(t, signed, pathMessage, body, nil)
	require.NoError(t, err, "the Agent key is enough")
	_, err = receive(t, plain, pathMessage, body, h)
	require.NoError(t, err, "without a secret there is nothing to check it with")
}

func FuzzReceive(f *testing.F) {
	for _, body := range []string{
		`{"conversation_id":"r","timestamp":1,"body":"hi"}`,
		`{"conversation_id":"r","timestamp":"1","body":"hi","agent_name":"Jo","message_id":7,"files":[{"url":"https://a.example/"}]}`,
		`{"conversation_id":"r","timestamp":"","files":{}}`, `{"timestamp":"\""}`, `[`, `null`, ``,
	} {
		f.Add(true, body, "", "")
		f.Add(false, body, "id", "v1,x")
	}
	d, err := Driver{}.Connect(settings(map[string]string{fieldURL: "https://desk.example.com", fieldSigningSecret: secret1}))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, message bool, body, id, signatures string) {
		path := pathEnd
		if message {
			path = pathMessage
		}
		h := http.Header{"Webhook-Id": {id}, "Webhook-Signature": {signatures}}
		events, err := receive(t, d, path, body, h)
		if err != nil {
			require.Contains(t, []fault.Kind{fault.InvalidInput, fault.Unauthenticated}, fault.KindOf(err))
			require.Empty(t, events)
			return
		}
		require.Len(t, events, 1)
		e := events[0]
		require.NotEmpty(t, e.Ref)
		require.NotEmpty(t, e.ID)
		require.LessOrEqual(t, len(e.ID), 100)
		_, err = e.At.MarshalJSON()
		require.NoError(t, err)
		require.NotContains(t, e.Text+e.Ref+e.OperatorName, "\x00")
		require.True(t, e.Kind == handoff.DeskEnded || strings.TrimSpace(e.Text) != "" || len(e.Attachments) > 0)
		again, err := receive(t, d, path, body, h)
		require.NoError(t, err)
		require.Equal(t, events, again)
	})
}
