package desktest

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Happening is something that happens in a session at the desk.
type Happening struct {
	Kind        HappeningKind
	ID          string // the desk's id of it, digits; a desk that makes ids of its own uses those
	At          time.Time
	Operator    string // the name of a human
	Text        string
	Attachments []handoff.Attachment
}

// HappeningKind says what happens.
type HappeningKind string

// The happenings.
const (
	OperatorWrites HappeningKind = "OPERATOR_WRITES" // a human, for the User to read
	OperatorEnds   HappeningKind = "OPERATOR_ENDS"
	OperatorJoins  HappeningKind = "OPERATOR_JOINS" // takes the session, also from another
	UserWrites     HappeningKind = "USER_WRITES"    // in the desk's own messenger
	BotWrites      HappeningKind = "BOT_WRITES"     // a bot, a workflow, the system
	PrivateNote    HappeningKind = "PRIVATE_NOTE"
	OurEcho        HappeningKind = "OUR_ECHO"   // what we sent comes back
	Unfamiliar     HappeningKind = "UNFAMILIAR" // of a kind that did not exist when the desk was built
)

// Signature says what a request without a right signature of the desk is worth.
type Signature string

// The signatures.
const (
	// Unsigned: who calls is known otherwise: by a key, or by asking the desk.
	Unsigned Signature = ""
	// SignedIfAtAll: a signature that is there must be right.
	SignedIfAtAll Signature = "IF_AT_ALL"
	// SignedAlways: nothing is believed without one.
	SignedAlways Signature = "ALWAYS"
)

var incomingRules = []rule{
	{name: "the harness is complete", check: harnessIsComplete},
	{name: "an operator's message comes through", check: operatorsMessageComesThrough},
	{name: "an operator's files come through", check: operatorsFilesComeThrough},
	{name: "an end comes through", check: endComesThrough},
	{name: "what is internal stays inside", check: internalStaysInside},
	{name: "the unfamiliar is accepted and means nothing", check: unfamiliarMeansNothing},
	{name: "repeats and disorder change nothing", check: repeatsChangeNothing},
	{name: "a changed request is not believed", check: changedIsNotBelieved},
	{name: "a request of another connection is not believed", check: strangersAreNotBelieved},
	{name: "a cut or huge request does no harm", check: cutOrHugeDoesNoHarm},
	{name: "what was missed is told like what was received", calls: true, check: missedIsLikeReceived},
}

// A rule that cannot be asked must not look like one that was answered.
func harnessIsComplete(t tester, b *bench) {
	d := b.description
	if len(d.Receive) > 0 {
		require.NotNil(t, b.h.Incoming, "the desk calls us: the harness needs Incoming")
		require.True(t, b.h.Signature == Unsigned || b.h.OtherFields != nil, "the desk signs: the harness needs OtherFields")
	}
	if b.h.Mode == handoff.ModeDeskToDesk {
		require.NotNil(t, b.h.NewSession, "the User is at the desk first: the harness needs NewSession")
	}
}

// happening is the n-th of a session.
func happening(kind HappeningKind, n int, text string) Happening {
	return Happening{Kind: kind, ID: fmt.Sprint(9_000 + n), At: now.Add(time.Duration(n) * time.Second), Operator: "Olga", Text: text}
}

// hears makes the desk tell of a happening; known = false: it has no such thing.
func (b *bench) hears(t tester, ref string, h Happening) (events []handoff.DeskEvent, known bool) {
	t.Helper()
	r, known := b.incoming(ref, h)
	if !known {
		return nil, false
	}
	events, err := b.desk.Receive(t.Context(), r)
	require.NoError(t, err, h.Kind)
	return events, true
}

func (b *bench) incoming(ref string, h Happening) (desk.Inbound, bool) {
	if b.h.Incoming == nil {
		return desk.Inbound{}, false
	}
	return b.h.Incoming(b.fake, b.fields, ref, h)
}

// shown are the texts for the User among events, which must be of the session.
func shown(t tester, ref string, events []handoff.DeskEvent) (texts []string) {
	t.Helper()
	for _, e := range events {
		require.Equal(t, ref, e.Ref)
		if e.Kind == handoff.DeskMessage {
			require.NotEmpty(t, e.ID, "without an id a repeat would be shown twice")
			require.False(t, e.At.IsZero())
			texts = append(texts, e.Text)
		}
	}
	return texts
}

func operatorsMessageComesThrough(t tester, b *bench) {
	if b.h.Incoming == nil {
		return // see harnessIsComplete, here and below
	}
	ref := b.open(t)
	var all []string
	ids := map[string]bool{}
	for i, text := range []string{"first", "客服 🙂 \"q\" & <b>", "two\nlines", "first"} {
		events, known := b.hears(t, ref, happening(OperatorWrites, i, text))
		require.True(t, known, "the harness must make an operator's message")
		for _, e := range events {
			if e.Kind == handoff.DeskMessage && !ids[e.ID] {
				ids[e.ID] = true
				all = append(all, e.Text)
				require.Contains(t, []string{"Olga", ""}, e.OperatorName)
			}
		}
		shown(t, ref, events)
	}
	require.Equal(t, []string{"first", "客服 🙂 \"q\" & <b>", "two\nlines", "first"}, all)
}

func operatorsFilesComeThrough(t tester, b *bench) {
	ref := b.open(t)
	file := handoff.Attachment{URL: "https://files.example.com/a.pdf", Name: "a.pdf", ContentType: "application/pdf"}
	for i, text := range []string{"see", ""} {
		h := happening(OperatorWrites, i, text)
		h.Attachments = []handoff.Attachment{file}
		events, known := b.hears(t, ref, h)
		if !known {
			return
		}
		shown(t, ref, events)
		last := newestMessage(t, events)
		if !b.description.Attachments.FromDesk {
			require.NotEmpty(t, strings.TrimSpace(last.Text), "the User reads a text in the place of the file")
			continue
		}
		require.Len(t, last.Attachments, 1)
		require.Equal(t, file.URL, last.Attachments[0].URL)
	}
}

func newestMessage(t tester, events []handoff.DeskEvent) handoff.DeskEvent {
	t.Helper()
	for _, e := range slices.Backward(events) {
		if e.Kind == handoff.DeskMessage {
			return e
		}
	}
	require.Fail(t, "there is no message")
	return handoff.DeskEvent{}
}

func endComesThrough(t tester, b *bench) {
	if b.h.Incoming == nil || !b.description.EndsByDesk {
		return
	}
	ref := b.open(t)
	events, known := b.hears(t, ref, happening(OperatorEnds, 1, ""))
	require.True(t, known, "the desk declares that it tells of the end")
	require.True(t, slices.ContainsFunc(events, func(e handoff.DeskEvent) bool { return e.Kind == handoff.DeskEnded && e.Ref == ref }))
	require.Empty(t, shown(t, ref, events))
	require.NoError(t, b.desk.Close(t.Context(), closeRequest(ref, handoff.ReasonUserEnded)), "both sides at once")
	late := b.tell(t.Context(), sendRequest(ref, "after the end"))
	require.Contains(t, []fault.Kind{"", fault.DeskGone}, fault.KindOf(late), "a message after the end arrives, or the session is gone")
}

func internalStaysInside(t tester, b *bench) {
	ref := b.open(t)
	for i, kind := range []HappeningKind{BotWrites, PrivateNote, OurEcho, OperatorJoins, UserWrites} {
		if kind == UserWrites && b.h.Mode == handoff.ModeDeskToDesk {
			continue
		}
		events, _ := b.hears(t, ref, happening(kind, i, "not for the User"))
		require.Empty(t, shown(t, ref, events), kind)
		for _, e := range events {
			require.NotEqual(t, handoff.DeskEnded, e.Kind, kind)
			require.NotEqual(t, handoff.DeskUserWrote, e.Kind, kind)
		}
	}
}

func unfamiliarMeansNothing(t tester, b *bench) {
	events, _ := b.hears(t, b.open(t), happening(Unfamiliar, 1, "?"))
	require.Empty(t, events)
}

// told is what matters of an event, by its kind and id.
func told(events []handoff.DeskEvent, into map[string]string) {
	for _, e := range events {
		switch e.Kind {
		case handoff.DeskMessage, handoff.DeskUserWrote:
			into[string(e.Kind)+" "+e.ID] = e.Text
		case handoff.DeskEnded:
			into[string(e.Kind)] = ""
		default:
		}
	}
}

// Every replica understands a request the same way, whatever came before it. A desk
// that asks back may tell more of the session than the request is about.
func repeatsChangeNothing(t tester, b *bench) {
	if b.h.Incoming == nil {
		return
	}
	ref := b.open(t)
	var requests []desk.Inbound
	want := map[string]string{}
	for i, text := range []string{"one", "two", "one"} {
		r, _ := b.incoming(ref, happening(OperatorWrites, i, text))
		requests = append(requests, r)
		events, err := b.desk.Receive(t.Context(), r)
		require.NoError(t, err)
		told(events, want)
	}
	require.Len(t, want, 3, "each message has an id of its own, also with the same text")
	other := b.connect(t)
	got := map[string]string{}
	for _, d := range []desk.Desk{other, b.desk} {
		for _, r := range slices.Backward(slices.Concat(requests, requests)) {
			events, err := d.Receive(t.Context(), r)
			require.NoError(t, err)
			told(events, got)
		}
		require.Equal(t, want, got)
	}
}

func changedIsNotBelieved(t tester, b *bench) {
	if b.h.Signature == Unsigned {
		return
	}
	r, known := b.incoming(b.open(t), happening(OperatorWrites, 1, "hello"))
	if !known {
		return
	}
	at := bytes.Index(r.Body, []byte("hello"))
	require.GreaterOrEqual(t, at, 0, "the message is in the request")
	changed := r
	changed.Body = bytes.Clone(r.Body)
	changed.Body[at] = 'j'
	notBelieved(t, b, changed, "an altered byte")
	changed = r
	changed.Body = append(bytes.Clone(r.Body), ' ')
	notBelieved(t, b, changed, "one byte more")
	if b.h.Signature == SignedAlways {
		changed = r
		changed.Header = http.Header{}
		notBelieved(t, b, changed, "no signature")
	}
}

func notBelieved(t tester, b *bench, r desk.Inbound, why string) {
	t.Helper()
	events, err := b.desk.Receive(t.Context(), r)
	require.Empty(t, events, why)
	require.Equal(t, fault.Unauthenticated, fault.KindOf(err), why)
	b.tellsNoSecret(t, err)
}

func strangersAreNotBelieved(t tester, b *bench) {
	if b.h.Signature == Unsigned || b.h.Incoming == nil {
		return
	}
	fields := maps.Clone(b.fields)
	maps.Copy(fields, b.h.OtherFields)
	r, known := b.h.Incoming(b.fake, fields, b.open(t), happening(OperatorWrites, 1, "hello"))
	require.True(t, known)
	notBelieved(t, b, r, "signed with the secret of another connection")
}

// huge is as long as an incoming request may be by default.
const huge = 1 << 20

func cutOrHugeDoesNoHarm(t tester, b *bench) {
	harmless := func(r desk.Inbound, what string) {
		t.Helper()
		events, err := b.desk.Receive(t.Context(), r)
		if err != nil {
			require.Empty(t, events, what)
			require.Contains(t, []fault.Kind{fault.InvalidInput, fault.Unauthenticated, fault.NotFound, fault.Unsupported}, fault.KindOf(err), what)
			b.tellsNoSecret(t, err)
		}
		for _, e := range events {
			require.NotEmpty(t, e.Ref, what)
			require.LessOrEqual(t, len([]rune(e.Text)), handoff.MaxTextRunes, what)
		}
	}
	for _, unit := range []string{"x", "[", `{"a":`, "\x00", "🙂"} {
		harmless(desk.Inbound{Body: []byte(strings.Repeat(unit, huge/len(unit))), ReceivedAt: now}, "a megabyte of "+unit)
	}
	ref := b.open(t)
	r, known := b.incoming(ref, happening(OperatorWrites, 1, "hello"))
	if !known {
		return
	}
	for i := range r.Body {
		cut := r
		cut.Body = r.Body[:i]
		harmless(cut, fmt.Sprintf("the first %d bytes", i))
	}
	r, _ = b.incoming(ref, happening(OperatorWrites, 2, strings.Repeat("長い文 ", huge/16)))
	harmless(r, "a text of a megabyte")
}

func missedIsLikeReceived(t tester, b *bench) {
	if b.description.CatchUp == 0 {
		return
	}
	ref := b.open(t)
	want, got := map[string]string{}, map[string]string{}
	for i, kind := range []HappeningKind{OperatorWrites, BotWrites, PrivateNote, OperatorWrites, OperatorEnds} {
		events, _ := b.hears(t, ref, happening(kind, i, fmt.Sprintf("message %d", i)))
		told(events, want)
	}
	require.GreaterOrEqual(t, len(want), 2)
	events, err := desk.Missed(t.Context(), b.desk, ref, now.Add(-time.Hour))
	require.NoError(t, err)
	told(events, got)
	require.Equal(t, want, got)
	require.True(t, slices.IsSortedFunc(events, func(a, b handoff.DeskEvent) int { return a.At.Compare(b.At) }), "the oldest comes first")

	b.make(status(500))
	_, err = desk.Missed(t.Context(), b.desk, ref, now)
	require.Equal(t, fault.DeskUnavailable, fault.KindOf(err))
	b.tellsNoSecret(t, err)
	b.make(status(404))
	events, err = desk.Missed(t.Context(), b.desk, ref, now)
	require.NoError(t, err, "a session that is gone has ended")
	require.True(t, slices.ContainsFunc(events, func(e handoff.DeskEvent) bool { return e.Kind == handoff.DeskEnded && e.Ref == ref }))
}
