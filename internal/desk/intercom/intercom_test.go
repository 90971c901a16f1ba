package intercom

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/desk/intercom/simulator"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// The simulator has judged every body by Intercom's OpenAPI file already.
func TestOpenOnTheWire(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	ref := w.open(t)
	contact := w.Contacts()[0].ID
	require.Equal(t, []string{
		`GET /me `,
		`POST /contacts/search {"query":{"field":"external_id","operator":"=","value":"agt_1:LINE:U4af4980629"},"pagination":{"per_page":10}}`,
		`POST /contacts/search {"query":{"operator":"AND","value":[{"field":"email","operator":"=","value":"robin@example.com"},{"field":"role","operator":"=","value":"user"}]},"pagination":{"per_page":10}}`,
		`POST /contacts {"role":"user","external_id":"agt_1:LINE:U4af4980629","email":"robin@example.com","name":"Robin Buyer"}`,
		`POST /conversations {"from":{"type":"user","id":"` + contact + `"},"body":"I was charged twice, can I talk to a person?"}`,
		`POST /conversations/` + ref + `/reply {"message_type":"note","type":"admin","admin_id":"7709999","body":"` +
			`<p><b>Note:</b> Be kind.</p><p><b>Summary:</b> Charged twice.</p><h2>Chat history</h2>` +
			`<p><b>User, 2026-09-21 14:29 UTC:</b> I was charged &lt;twice&gt; &amp; more</p>` +
			`<p><b>Answer:</b> Let me check.<br>One moment.</p><p><b>Answer to the newest question:</b> I get you a colleague.</p>` +
			`<h2>Details</h2><p><b>Channel:</b> LINE</p><p><b>Language:</b> en</p>` +
			`<p><b>a&lt;b:</b> x</p><p><b>plan:</b> pro</p><p><i>Handoff hof_1 (1/1)</i></p>"}`,
	}, w.posted())
}

// Everything that the service sends carries these.
func TestHeaders(t *testing.T) {
	t.Parallel()
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	t.Cleanup(server.Close)
	require.Error(t, connect(t, map[string]string{regionUS: server.URL}, nil).Verify(t.Context()))
	require.Equal(t, "Bearer intercom-token", got.Get("Authorization"))
	require.Equal(t, "2.15", got.Get("Intercom-Version"))
	require.Equal(t, "application/json", got.Get("Accept"))
	require.Equal(t, "Handoff/dev", got.Get("User-Agent"))
}

func TestSecondHandoffUsesTheSameContact(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	first, second := w.open(t), w.open(t)
	require.NotEqual(t, first, second)
	require.Len(t, w.Contacts(), 1)
}

func TestContact(t *testing.T) {
	t.Parallel()
	const key = "agt_1:LINE:U4af4980629"
	for name, c := range map[string]struct {
		options simulator.Options
		there   []simulator.Contact
		want    simulator.Contact // of the conversation; without id and time
		waits   []time.Duration
	}{
		"by address, whose key stays": {
			there: []simulator.Contact{{Role: "user", ExternalID: "crm:1", Email: "robin@example.com"}},
			want:  simulator.Contact{Role: "user", ExternalID: "crm:1", Email: "robin@example.com"},
		},
		"by key, brought up to date": {
			there: []simulator.Contact{{Role: "user", ExternalID: key, Email: "old@example.com", Name: "R"}},
			want:  simulator.Contact{Role: "user", ExternalID: key, Email: "robin@example.com", Name: "Robin Buyer"},
		},
		"by key, the address is another's": {
			there: []simulator.Contact{{Role: "user", ExternalID: "crm:1", Email: "robin@example.com"}, {Role: "user", ExternalID: key}},
			want:  simulator.Contact{Role: "user", ExternalID: key, Name: "Robin Buyer"},
		},
		"archived": {
			there: []simulator.Contact{{Role: "user", ExternalID: key, Archived: true}},
			want:  simulator.Contact{Role: "user", ExternalID: key},
		},
		"new, and not ready": {
			options: simulator.Options{NotReady: 3},
			want:    simulator.Contact{Role: "user", ExternalID: key, Email: "robin@example.com", Name: "Robin Buyer"},
			waits:   []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorkspace(t, c.options, nil)
			for _, one := range c.there {
				w.AddContact(one)
			}
			w.open(t)
			of := w.Conversations()[0].Contact
			for _, got := range w.Contacts() {
				if got.ID == of {
					require.Equal(t, [4]string{c.want.Role, c.want.ExternalID, c.want.Email, c.want.Name},
						[4]string{got.Role, got.ExternalID, got.Email, got.Name})
					require.False(t, got.Archived)
				}
			}
			require.Equal(t, c.waits, w.waits)
		})
	}
}

// A contact that a search does not find yet is found by making it.
func TestSearchMisses(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{SearchMisses: 100}, nil)
	w.open(t)
	w.open(t)
	require.Len(t, w.Contacts(), 1)
	require.Len(t, w.Conversations(), 2)
}

func TestNewContactStaysUnknown(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{NotReady: 100}, nil)
	_, err := w.desk.Open(t.Context(), openRequest())
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
	require.True(t, fault.As(err).Retryable())
	require.Equal(t, newContactWaits, w.waits)
}

// Many Users without an address share the fallback, but not a contact.
func TestFallbackAddressIsNoIdentity(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	r := openRequest()
	r.User.Email, r.EmailGiven = "support@example.com", false
	_, err := w.desk.Open(t.Context(), r)
	require.NoError(t, err)
	require.Empty(t, w.Contacts()[0].Email)
	require.Contains(t, w.Conversations()[0].Parts[0].HTML, "<b>E-mail (not the user's own):</b> support@example.com")
}

func TestSend(t *testing.T) {
	t.Parallel()
	picture := handoff.Attachment{URL: "https://files.example.com/a.png?x=1&y=2", ContentType: "image/png"}
	paper := handoff.Attachment{URL: "https://files.example.com/b.pdf", ContentType: "application/pdf"}
	w := newWorkspace(t, simulator.Options{}, nil)
	ref := w.open(t)
	before := len(w.Requests())
	for _, r := range []desk.SendRequest{
		sendRequest(ref, "Order 1182"), sendRequest(ref, "", picture), sendRequest(ref, "two", picture, paper), sendRequest(ref, "see", picture),
	} {
		sent, err := w.desk.Send(t.Context(), r)
		require.NoError(t, err)
		parts := w.Conversations()[0].Parts
		require.Equal(t, parts[len(parts)-1].ID, sent.ID)
	}
	head := `POST /conversations/` + ref + `/reply {"message_type":"comment","type":"user","intercom_user_id":"` + w.Contacts()[0].ID + `",`
	require.Equal(t, []string{
		head + `"body":"Order 1182"}`,
		head + `"body":" ","attachment_urls":["https://files.example.com/a.png?x=1&y=2"]}`,
		head + `"body":"two\nhttps://files.example.com/a.png?x=1&y=2\nhttps://files.example.com/b.pdf"}`,
		head + `"body":"see","attachment_urls":["https://files.example.com/a.png?x=1&y=2"]}`,
	}, w.posted()[before:])
}

func TestRefusedPictureGoesAsAddress(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	ref := w.open(t)
	w.Fail(failing(1, "POST", "/reply", simulator.Failure{Status: 422, Code: "parameter_invalid"}))
	_, err := w.desk.Send(t.Context(), sendRequest(ref, "see", handoff.Attachment{URL: "https://files.example.com/a.png", ContentType: "image/png"}))
	require.NoError(t, err)
	parts := w.Conversations()[0].Parts
	require.Equal(t, "see\nhttps://files.example.com/a.png", parts[len(parts)-1].Text)
}

// Another replica has not opened the session, and asks whose it is.
func TestSendFromAnotherReplica(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	ref := w.open(t)
	other := connect(t, w.desk.hosts, nil)
	for _, text := range []string{"one", "two"} {
		_, err := other.Send(t.Context(), sendRequest(ref, text))
		require.NoError(t, err)
	}
	reads := 0
	for _, r := range w.Requests() {
		if r.Method == http.MethodGet && strings.HasPrefix(r.Path, "/conversations/") {
			reads++
		}
	}
	require.Equal(t, 1, reads, "the second message costs one call")
	require.NoError(t, other.Close(t.Context(), desk.CloseRequest{Ref: ref, Reason: handoff.ReasonUserEnded}))
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	ref := w.open(t)
	for range 2 {
		require.NoError(t, w.desk.Close(t.Context(), desk.CloseRequest{Ref: ref, Reason: handoff.ReasonUserEnded}))
	}
	c := w.Conversations()[0]
	require.Equal(t, "closed", c.State)
	require.Equal(t, "The user ended the chat.", c.Parts[len(c.Parts)-1].Text)
	require.NoError(t, w.desk.Close(t.Context(), desk.CloseRequest{Ref: "1"}), "gone")
}

func TestLongTextsAreCut(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, nil)
	long := strings.Repeat("0123456789", 1_500)
	r := openRequest()
	r.Question.Body, r.Note = long, long
	opened, err := w.desk.Open(t.Context(), r)
	require.NoError(t, err)
	_, err = w.desk.Send(t.Context(), sendRequest(opened.Ref, long))
	require.NoError(t, err)
	c := w.Conversations()[0]
	said := []string{c.Body}
	for _, p := range c.Parts {
		require.LessOrEqual(t, len(p.HTML), maxBody+100)
		if p.By == "user" {
			said = append(said, p.Text)
		}
	}
	require.Equal(t, long+long, strings.Join(said, ""))
	require.Len(t, said, 4)
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	r := openRequest()
	r.Rounds = nil
	for range 40 {
		r.Rounds = append(r.Rounds, desk.Round{Question: desk.Text{Body: strings.Repeat("<", 4_000)}, Answer: desk.Text{Body: "newest"}})
	}
	o := newOpening(&r)
	size := 0
	for _, n := range o.notes {
		require.LessOrEqual(t, len(n.html), maxBody)
		size += len(n.html)
	}
	require.LessOrEqual(t, size, maxHistory+2*maxBody)
	require.Contains(t, o.notes[0].html, "Earlier messages were left out.")
	require.Contains(t, o.notes[len(o.notes)-1].html, "newest")
}

func TestRegion(t *testing.T) {
	t.Parallel()
	region := func(o simulator.Options) (*simulator.Simulator, string) {
		s := simulator.New(o)
		server := httptest.NewServer(s)
		t.Cleanup(server.Close)
		return s, server.URL
	}
	foreign, us := region(simulator.Options{Token: "other"})
	home, eu := region(simulator.Options{Region: "EU"})
	router, routing := region(simulator.Options{Region: "EU"})

	t.Run("asked one after another", func(t *testing.T) {
		d := connect(t, map[string]string{regionUS: us, regionEU: eu}, nil)
		require.NoError(t, d.Verify(t.Context()))
		require.Equal(t, identity{base: eu, admin: "7709999", app: "zx81qw92"}, d.identities.get())
		require.Len(t, foreign.Requests(), 1)
		require.Len(t, home.Requests(), 1)
	})
	t.Run("told by an address that routes", func(t *testing.T) {
		d := connect(t, map[string]string{regionUS: routing, regionEU: eu}, nil)
		require.NoError(t, d.Verify(t.Context()))
		require.Equal(t, eu, d.identities.get().base)
		require.Len(t, router.Requests(), 1)
	})
	t.Run("chosen", func(t *testing.T) {
		d := connect(t, map[string]string{regionUS: us, regionEU: eu}, map[string]string{fieldRegion: regionUS, fieldAdminID: "5"})
		require.Equal(t, fault.DeskUnauthorized, fault.KindOf(d.Verify(t.Context())))
		d = connect(t, map[string]string{regionUS: us, regionEU: eu}, map[string]string{fieldRegion: regionEU, fieldAdminID: "5"})
		require.NoError(t, d.Verify(t.Context()))
		require.Equal(t, identity{base: eu, admin: "5", app: "zx81qw92"}, d.identities.get())
	})
	t.Run("a silent region proves nothing", func(t *testing.T) {
		d := connect(t, map[string]string{regionUS: us, regionEU: "http://127.0.0.1:1"}, nil)
		require.Equal(t, fault.DeskUnavailable, fault.KindOf(d.Verify(t.Context())))
	})
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file  string
		about desk.Subject
		kind  fault.Kind
		text  string
	}{
		"400":           {"error.400_parameter_invalid.json", desk.AboutDesk, fault.DeskRejected, ""},
		"400 version":   {"error.400_intercom_version_invalid.json", desk.AboutDesk, fault.DeskRejected, "2.15"},
		"401":           {"error.401_unauthorized.json", desk.AboutDesk, fault.DeskUnauthorized, "copy the access token"},
		"403":           {"error.403_api_plan_restricted.json", desk.AboutDesk, fault.DeskUnauthorized, "no active subscription"},
		"404 gone":      {"error.404_conversation_not_found.json", desk.AboutSession, fault.DeskGone, ""},
		"404 user":      {"error.404_user_not_found.json", desk.AboutDesk, fault.DeskRejected, ""},
		"409":           {"error.409_contact_conflict.json", desk.AboutDesk, fault.DeskRejected, ""},
		"410":           {"error.410_contact_merged.json", desk.AboutSession, fault.DeskGone, ""},
		"422":           {"error.422_parameter_invalid.json", desk.AboutSession, fault.DeskRejected, ""},
		"429":           {"error.429_rate_limit_exceeded.json", desk.AboutDesk, fault.DeskRateLimited, ""},
		"503":           {"error.503_service_unavailable.json", desk.AboutDesk, fault.DeskUnavailable, ""},
		"400 something": {"error.400_bad_request.json", desk.AboutDesk, fault.DeskRejected, ""},
		"409 archived":  {"error.409_contact_archived.json", desk.AboutDesk, fault.DeskRejected, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			status := map[string]int{"400": 400, "401": 401, "403": 403, "404": 404, "409": 409, "410": 410, "422": 422, "429": 429, "503": 503}[name[:3]]
			f := refusal(&desk.Answer{Status: status, Header: http.Header{}, Body: []byte(sample(t, c.file))}, c.about, now)
			require.Equal(t, c.kind, f.Kind)
			require.Contains(t, f.Public, c.text)
			p, ok := errors.AsType[*problem](f)
			require.True(t, ok)
			require.Equal(t, "b68959ea-6328-4f70-83cb-e7913dba1542", p.requestID)
			require.NotEmpty(t, p.code)
			require.Equal(t, status == 409, p.contactID == "64aa0b1c2d3e4f5061728394")
			require.Equal(t, name == "409 archived", p.archived)
		})
	}
}

func TestRateLimitWindow(t *testing.T) {
	t.Parallel()
	for reset, want := range map[string]time.Duration{
		"1790001007": 7 * time.Second, "1790000000": time.Second, "1790009000": time.Minute, "": 0, "soon": 0,
		"-9223372036854775808": time.Second, "9223372036854775807": time.Minute,
	} {
		a := &desk.Answer{Status: 429, Header: http.Header{"X-Ratelimit-Reset": {reset}}}
		require.Equal(t, want, refusal(a, desk.AboutDesk, now).After, reset)
	}
}

// An unknown teammate says nothing about the session.
func TestUnknownTeammate(t *testing.T) {
	t.Parallel()
	w := newWorkspace(t, simulator.Options{}, map[string]string{fieldAdminID: "5"})
	ref := w.open(t)
	err := w.desk.Close(t.Context(), desk.CloseRequest{Ref: ref})
	require.Equal(t, fault.DeskRejected, fault.KindOf(err))
	require.Contains(t, err.Error(), "no teammate with the configured admin id")
	// The context is there all the same.
	parts := w.Conversations()[0].Parts
	require.Len(t, parts, 1)
	require.Equal(t, "user", parts[0].By)
	require.Contains(t, parts[0].Text, "Answer: Let me check.\nOne moment.\n")
	require.True(t, strings.HasSuffix(parts[0].Text, "\nHandoff hof_1 (1/1)"))
}

func TestRefusedNoteIsSaidByTheContact(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 403, 404, 422} {
		w := newWorkspace(t, simulator.Options{}, nil)
		w.Fail(failing(1, "POST", "/reply", simulator.Failure{Status: status, Code: "forbidden"}))
		w.open(t)
		parts := w.Conversations()[0].Parts
		require.Len(t, parts, 1)
		require.Equal(t, "user", parts[0].By)
	}
}

func TestPauseEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	require.False(t, pause(ctx, time.Hour))
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	require.False(t, pause(ctx, time.Hour))
	require.True(t, pause(t.Context(), 0))
}
