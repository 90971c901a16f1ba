package desktest

import (
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

var plainRules = []rule{
	{name: "describes itself", check: describesItself},
	{name: "declares what it implements", check: declaresWhatItImplements},
	{name: "connects without a call", calls: true, check: connectsWithoutACall},
	{name: "verify changes nothing", check: verifyChangesNothing},
	{name: "open answers with an id", check: openAnswersWithAnID},
	{name: "open brings the context", calls: true, check: openBringsTheContext},
	{name: "note and summary arrive", calls: true, check: noteAndSummaryArrive},
	{name: "messages keep their order", calls: true, check: messagesKeepTheirOrder},
	{name: "long messages are split between characters", calls: true, check: longMessagesAreSplit},
	{name: "files arrive", calls: true, check: filesArrive},
	{name: "close arrives for every reason", calls: true, check: closeArrives},
	{name: "a repeat can be recognised", calls: true, check: repeatCanBeRecognised},
	{name: "garbage gives no event", check: garbageGivesNoEvent},
}

func describesItself(t tester, b *bench) {
	d := b.description
	require.Equal(t, d, b.h.Driver.Describe(), "the declaration is always the same")
	require.Regexp(t, `^[a-z][a-z0-9_]*$`, d.Kind)
	require.NotEmpty(t, d.Title)
	require.NotEmpty(t, d.Modes)
	require.True(t, d.Supports(b.h.Mode))
	require.NotEmpty(t, d.Steps)
	require.Contains(t, []handoff.UnknownOutcome{handoff.OutcomeIdempotent, handoff.OutcomeReadBack, handoff.OutcomeRepeatMarked}, d.Unknown)
	require.GreaterOrEqual(t, d.MaxTextRunes, 0)
	require.GreaterOrEqual(t, d.RequestsPerSecond, 0)
	require.True(t, d.CatchUp == 0 || d.CatchUp >= time.Second, "every %v would be a load of its own", d.CatchUp)
	require.Equal(t, d.Supports(handoff.ModeDeskToDesk), d.Channel.OfDesk(), "the desk's own messenger and DESK_TO_DESK")
	for _, a := range d.Receive {
		require.NotEmpty(t, a.Label)
		require.Regexp(t, `^/`, a.Path)
	}
	names := map[string]bool{}
	for _, f := range d.Fields {
		require.False(t, names[f.Name], "field %s is declared twice", f.Name)
		names[f.Name] = true
		require.NotEmpty(t, f.Label, f.Name)
		require.GreaterOrEqual(t, f.MaxRunes, 0, f.Name)
		_, err := regexp.Compile(f.Pattern)
		require.NoError(t, err, f.Name)
		if f.Default != "" {
			require.False(t, f.Secret || f.Required, "field %s: a default makes no sense", f.Name)
		}
		if len(f.Options) > 0 && f.Default != "" {
			require.Contains(t, f.Options, f.Default)
		}
	}
	for _, kind := range []handoff.DeliveryKind{handoff.DeliverOpen, handoff.DeliverMessage, handoff.DeliverClose} {
		p := d.RetryFor(kind)
		require.GreaterOrEqual(t, p.Attempts, 1, kind)
		require.Positive(t, p.Base, kind)
		require.GreaterOrEqual(t, p.Max, p.Base, kind)
	}
}

func declaresWhatItImplements(t tester, b *bench) {
	for _, d := range []desk.Desk{b.bare, b.desk} {
		_, typing := desk.As[desk.TypingSender](d)
		require.Equal(t, b.description.Typing, typing, "Typing and TypingSender")
		_, read := desk.As[desk.ReadSender](d)
		require.Equal(t, b.description.ReadReceipts, read, "ReadReceipts and ReadSender")
		_, readsBack := desk.As[desk.Reconciler](d)
		require.Equal(t, b.description.Unknown == handoff.OutcomeReadBack, readsBack, "OutcomeReadBack and Reconciler")
		_, remembers := desk.As[desk.Rememberer](d)
		require.Equal(t, b.description.CatchUp > 0, remembers, "CatchUp and Rememberer")
		if b.h.Mode == handoff.ModeDeskToDesk {
			_, speaks := desk.As[desk.Speaker](d)
			require.True(t, speaks, "DESK_TO_DESK and Speaker")
			_, saidReadsBack := desk.As[desk.SpeakerReconciler](d)
			require.Equal(t, b.description.Unknown == handoff.OutcomeReadBack, saidReadsBack, "OutcomeReadBack and SpeakerReconciler")
		}
	}
}

func connectsWithoutACall(t tester, b *bench) {
	require.Empty(t, b.arrived())
}

func verifyChangesNothing(t tester, b *bench) {
	require.NoError(t, b.desk.Verify(t.Context()))
	if b.fake != nil {
		require.Empty(t, b.fake.Received())
		require.NotEmpty(t, b.arrived(), "a live check asks the desk")
	}
}

func openAnswersWithAnID(t tester, b *bench) {
	b.open(t)
}

func openBringsTheContext(t tester, b *bench) {
	long := strings.Repeat("long text 長い文 ", 2_000)
	for i, c := range []struct {
		rounds   []desk.Round
		question string
		email    string
	}{
		{openRequest().Rounds, personalText, personalEmail},
		{nil, "only a question", personalEmail},
		{nil, "", ""},
		{[]desk.Round{{Answer: desk.Text{Body: "a greeting"}}}, "hello", personalEmail},
		{[]desk.Round{{Question: desk.Text{Body: "客服 🙂 \u202eRTL \"quoted\" <b>&amp;</b> \\n"}, Answer: desk.Text{Body: "多行\ntext\ttab"}}}, "ok?", "客服@example.com"},
		{[]desk.Round{{Question: desk.Text{Body: long}, Answer: desk.Text{Body: long}}}, "the newest", personalEmail},
	} {
		r := b.request()
		if !b.inside() {
			r.ProposedRef = fmt.Sprintf("68e778000fa31d1ef64f53%02d", i)
		}
		r.Rounds, r.Question, r.User.Email = c.rounds, desk.Text{Body: c.question}, c.email
		r.EmailGiven = c.email != ""
		opened, err := b.desk.Open(t.Context(), r)
		require.NoError(t, err)
		calls := b.fake.Received()
		require.Len(t, calls, i+1, "one session each")
		got := calls[i]
		require.Equal(t, Open, got.Operation)
		require.Equal(t, opened.Ref, got.Ref)
		if b.h.Mode == handoff.ModeDeskToDesk {
			continue // the dialogue is there already
		}
		if c.email != "" {
			require.Equal(t, c.email, got.Email)
		}
		var texts []string
		if b.description.History {
			for _, round := range c.rounds {
				texts = append(texts, round.Question.Body, round.Answer.Body)
			}
		}
		require.Equal(t, withoutEmpty(append(texts, c.question)), withoutEmpty(got.Texts))
	}
}

func noteAndSummaryArrive(t tester, b *bench) {
	if !b.description.Notes {
		return
	}
	_, err := b.desk.Open(t.Context(), b.fullRequest(1))
	require.NoError(t, err)
	var all strings.Builder
	for _, r := range b.arrived() {
		all.WriteString(r.body)
	}
	require.Contains(t, all.String(), "note for the operator")
	require.Contains(t, all.String(), "summary for the operator")
	for _, c := range b.fake.Received() {
		require.NotContains(t, strings.Join(c.Texts, " "), "for the operator", "nobody in the dialogue has said that")
	}
}

// longMessagesAreSplit tries the longest message, one more, and signs of several
// characters across each limit.
func longMessagesAreSplit(t tester, b *bench) {
	limit := b.description.MaxTextRunes
	longest := handoff.MaxTextRunes
	if limit > 0 {
		longest = min(limit, longest)
	}
	const family = "👩‍👩‍👧" // five characters that are read as one
	ref := b.dialogue(t)
	for _, c := range []struct {
		text  string
		parts int
	}{
		{strings.Repeat("x", longest), 1},
		{strings.Repeat("字", longest), 1},
		{strings.Repeat("x", longest+1), 2},
		{strings.Repeat("x", longest-2) + family, 2},
		{strings.Repeat("x", longest-1) + "e\u0301", 2},
	} {
		if c.parts > 1 && limit == 0 {
			continue // longer than any message of ours
		}
		before := len(b.fake.Received())
		require.NoError(t, b.tell(t.Context(), sendRequest(ref, c.text)))
		calls := b.fake.Received()[before:]
		require.Equal(t, c.parts, len(calls), "messages for %d characters; the declared limit is %d", utf8.RuneCountInString(c.text), limit)
		var got strings.Builder
		for _, call := range calls {
			part := strings.Join(call.Texts, "")
			require.LessOrEqual(t, len([]rune(part)), longest)
			require.True(t, c.parts == 1 || strings.Contains(part, family) == strings.Contains(part, "👩"), "cut within a character")
			require.False(t, strings.HasPrefix(part, "\u0301"), "cut within a character")
			got.WriteString(part)
		}
		require.Equal(t, c.text, got.String())
	}
}

func withoutEmpty(list []string) []string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

func messagesKeepTheirOrder(t tester, b *bench) {
	ref := b.dialogue(t)
	before := len(b.fake.Received())
	texts := []string{"first", "second\nline", "客服 🙂 <b>&amp;</b> \"q\"", strings.Repeat("長", 3_000), " spaces ", "first"}
	for _, text := range texts {
		require.NoError(t, b.tell(t.Context(), sendRequest(ref, text)))
	}
	calls := b.fake.Received()[before:]
	if b.description.MaxTextRunes == 0 {
		require.Len(t, calls, len(texts), "one message each")
	}
	var got strings.Builder
	for _, c := range calls {
		require.Equal(t, b.words(), c.Operation)
		require.Equal(t, ref, c.Ref)
		got.WriteString(strings.Join(c.Texts, ""))
	}
	require.Equal(t, strings.Join(texts, ""), got.String())
}

func filesArrive(t tester, b *bench) {
	r := sendRequest(b.dialogue(t), "see")
	before := len(b.fake.Received())
	r.Text.Attachments = []handoff.Attachment{
		{URL: "https://files.example.com/a.jpg?x=1&y=2", ContentType: "image/jpeg", Name: "a.jpg"},
		{URL: "https://files.example.com/b.pdf"},
	}
	require.NoError(t, b.tell(t.Context(), r))
	if b.description.Attachments.ToDesk {
		return // as files; the desk's own tests know in which form
	}
	var texts string
	for _, c := range b.fake.Received()[before:] {
		texts += strings.Join(c.Texts, "\n")
	}
	for _, a := range r.Text.Attachments {
		require.Contains(t, texts, a.URL)
	}
}

func closeArrives(t tester, b *bench) {
	for i, reason := range handoff.CloseReasons {
		ref := b.open(t)
		require.NoError(t, b.desk.Close(t.Context(), closeRequest(ref, reason)), reason)
		calls := b.fake.Received()
		require.Len(t, calls, 2*i+2)
		require.Equal(t, Call{Operation: Close, Ref: ref}, calls[len(calls)-1])
	}
}

// A desk that cannot be asked must be able to drop the repeat: it gets the same bytes.
func repeatCanBeRecognised(t tester, b *bench) {
	if b.description.Unknown != handoff.OutcomeRepeatMarked {
		return
	}
	ref := b.open(t)
	message, closing := sendRequest(ref, "again?"), closeRequest(ref, handoff.ReasonUserEnded)
	before := len(b.arrived())
	for _, repeat := range []bool{false, true} {
		message.Repeat, closing.Repeat = repeat, repeat
		require.NoError(t, b.tell(t.Context(), message))
		require.NoError(t, b.desk.Close(t.Context(), closing))
	}
	got := b.arrived()[before:]
	require.Len(t, got, 4)
	require.Equal(t, got[:2], got[2:])
}

func garbageGivesNoEvent(t tester, b *bench) {
	for _, body := range []string{"", "x", "{}", "[]", "null", `"x"`, "{", "\x00\xff", `{"a":` + strings.Repeat("[", 5_000), "a=1&b=2"} {
		for _, path := range []string{"", "message/receive", "close", "../x"} {
			events, err := b.desk.Receive(t.Context(), desk.Inbound{Path: path, Body: []byte(body), ReceivedAt: now})
			require.Empty(t, events, "%.20q at %q", body, path)
			if err != nil {
				require.Contains(t, []fault.Kind{fault.InvalidInput, fault.Unauthenticated, fault.NotFound, fault.Unsupported}, fault.KindOf(err))
			}
		}
	}
}
