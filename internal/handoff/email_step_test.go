package handoff_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// asking is a bundle whose open Handoff asks for an e-mail address.
func asking(t tester, policy handoff.EmailPolicy) *bundle {
	t.Helper()
	b := setup(t)
	b.settings(func(s *handoff.Settings) { s.EmailPolicy = policy })
	r := b.request()
	require.Equal(t, handoff.OutcomeEmailRequired, r.Outcome)
	require.Equal(t, handoff.StateCollectingEmail, r.Handoff.State)
	b.alarm.forget()
	return b
}

var photo = handoff.Attachment{URL: "https://files.example/photo.jpg", Name: "photo.jpg", ContentType: "image/jpeg", SizeBytes: 12}

func TestEmailIsAskedWhereItIsNeededAndPossible(t *testing.T) {
	t.Parallel()
	const known = "ann@example.com"
	asks := map[handoff.Channel]bool{handoff.ChannelWidget: true, handoff.ChannelIframe: true, handoff.ChannelShare: true}
	for _, policy := range []handoff.EmailPolicy{handoff.EmailAsk, handoff.EmailOptional, handoff.EmailNever} {
		for _, channel := range handoff.Channels {
			for _, email := range []string{"", known} {
				b := setup(t)
				if channel.OfDesk() && channel != handoff.ChannelIntercom {
					continue
				}
				b.settings(func(s *handoff.Settings) {
					s.EmailPolicy = policy
					s.FallbackEmail = "desk@example.com"
				})
				if channel.OfDesk() {
					b.desk = b.connect(messengerDesk)
					b.conv = b.converseInMessenger("ref-1")
					if email != "" {
						_, _, err := b.svc.SetEmail(b.ctx, b.conv, email)
						require.NoError(t, err)
					}
				} else {
					c, err := b.svc.StartConversation(b.ctx, handoff.StartConversation{
						AgentID: b.agent, Channel: channel, User: handoff.User{Email: email},
					})
					require.NoError(t, err)
					b.conv = c.ID
				}
				r := b.request()
				name := string(policy) + " on " + string(channel) + " knowing " + email
				if asks[channel] && policy != handoff.EmailNever && email == "" {
					require.Equal(t, handoff.OutcomeEmailRequired, r.Outcome, name)
					continue
				}
				require.Equal(t, handoff.OutcomeRequesting, r.Outcome, name)
				require.Equal(t, email, r.Handoff.Email, "%s: the fallback is for the desk, never the User's own", name)
			}
		}
	}
}

func TestEmailIsAsked(t *testing.T) {
	t.Parallel()
	for policy, notice := range map[handoff.EmailPolicy]handoff.Notice{
		handoff.EmailAsk: handoff.NoticeEmailAsk, handoff.EmailOptional: handoff.NoticeEmailOptional,
	} {
		b := setup(t)
		b.settings(func(s *handoff.Settings) { s.EmailPolicy = policy })
		c, err := b.svc.StartConversation(b.ctx, handoff.StartConversation{
			AgentID: b.agent, Channel: handoff.ChannelWidget, Language: "zh-TW",
		})
		require.NoError(t, err)
		b.conv = c.ID
		r := b.request()
		require.Equal(t, handoff.StandardText(notice, "zh-Hant"), r.Text)
		require.Equal(t, []string{"COLLECTING_EMAIL", "control HANDOFF 2", "SYSTEM " + string(notice)}, b.told(0))
		require.Equal(t, r.Text, b.log()[2].Text)
		require.Equal(t, start.Add(600*time.Second), b.newest().DeadlineAt)
		require.Empty(t, b.undelivered(r.Handoff.ID), "the desk knows nothing yet")
	}
}

func TestEmailAnswers(t *testing.T) {
	t.Parallel()
	invalid := []string{"SYSTEM EMAIL_INVALID"}
	for name, c := range map[string]struct {
		policy handoff.EmailPolicy
		text   string
		files  []handoff.Attachment
		email  string   // the address that was understood
		told   []string // nil = the request goes on
		held   bool     // the message is for the Operator
	}{
		"an address":               {handoff.EmailAsk, " ann@example.com ", nil, "ann@example.com", nil, false},
		"an address in a sentence": {handoff.EmailAsk, "It is ann@example.com, thanks!", nil, "ann@example.com", nil, true},
		"an address in Chinese":    {handoff.EmailAsk, "我的信箱是ann@example.com，謝謝", nil, "ann@example.com", nil, true},
		"an address and a file":    {handoff.EmailAsk, "ann@example.com", []handoff.Attachment{photo}, "ann@example.com", nil, true},
		"the same address twice":   {handoff.EmailAsk, "ann@example.com (ANN@example.com)", nil, "ann@example.com", nil, true},
		"two addresses":            {handoff.EmailAsk, "ann@example.com or bob@example.com", nil, "", invalid, true},
		"no address":               {handoff.EmailAsk, "why?", nil, "", invalid, true},
		"skip is no answer here":   {handoff.EmailAsk, "skip", nil, "", invalid, true},
		"a file":                   {handoff.EmailAsk, "", []handoff.Attachment{photo}, "", invalid, true},

		"optional, an address":     {handoff.EmailOptional, "ann@example.com", nil, "ann@example.com", nil, false},
		"optional, something else": {handoff.EmailOptional, "my parcel is lost", nil, "", nil, true},
		"optional, two addresses":  {handoff.EmailOptional, "ann@example.com or bob@example.com", nil, "", nil, true},
		"optional, a file":         {handoff.EmailOptional, "", []handoff.Attachment{photo}, "", nil, true},
		"optional, skip":           {handoff.EmailOptional, "Skip.", nil, "", nil, false},
		"optional, skip and file":  {handoff.EmailOptional, "skip", []handoff.Attachment{photo}, "", nil, true},
		"optional, zh-Hant":        {handoff.EmailOptional, "「略過」", nil, "", nil, false},
		"optional, zh-Hans":        {handoff.EmailOptional, "跳过。", nil, "", nil, false},
		"optional, zh-Hans quoted": {handoff.EmailOptional, "“跳过”", nil, "", nil, false},
		"optional, zh-Hant jump":   {handoff.EmailOptional, "跳過", nil, "", nil, false},
		"optional, ja":             {handoff.EmailOptional, "スキップ！", nil, "", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := asking(t, c.policy)
			before := b.lastSeq()
			posted := b.userWrites(c.text, c.files...)
			h := b.newest()
			require.Equal(t, c.email, h.Email)
			require.Equal(t, c.email, b.conversation().User.Email)

			rest := c.told
			lane := []string{}
			if c.told == nil {
				require.Equal(t, handoff.StateRequesting, h.State)
				require.Zero(t, h.DeadlineAt)
				rest, lane = []string{"REQUESTING"}, []string{"OPEN"}
				if c.held {
					lane = append(lane, "MESSAGE 4")
				}
			}
			require.Equal(t, append([]string{"USER " + c.text}, rest...), b.told(before))
			require.Equal(t, lane, b.undelivered(h.ID))
			require.Equal(t, c.held, len(h.HeldSeqs) == 1)
			require.Equal(t, posted.Event, b.log()[before], "the caller gets its own message")
		})
	}
}

// The words that the question proposes are understood in every language.
func TestEmailQuestionProposesAWordThatIsUnderstood(t *testing.T) {
	t.Parallel()
	words := map[string]string{"en": "skip", "zh-Hant": "略過", "zh-Hans": "跳过", "ja": "スキップ"}
	for _, language := range handoff.StandardLanguages {
		require.Contains(t, handoff.StandardText(handoff.NoticeEmailOptional, language), words[language])
		b := asking(t, handoff.EmailOptional)
		b.userWrites(words[language])
		b.requireState(handoff.StateRequesting, "")
		require.Empty(t, b.newest().HeldSeqs)
	}
}

func TestEmailHeldMessagesFollowOpenInOrder(t *testing.T) {
	t.Parallel()
	b := asking(t, handoff.EmailAsk)
	b.userWrites("my parcel is lost") // 4, then 5 asks again
	b.userWrites("number 17")         // 6, then 7
	b.userWrites("ok: ann@example.com")
	b.userWrites("hello?")
	h := b.newest()
	require.Equal(t, []string{"OPEN", "MESSAGE 4", "MESSAGE 6", "MESSAGE 8", "MESSAGE 10"}, b.undelivered(h.ID))
	require.Equal(t, int64(0), h.RequestSeq, "the context ends before the e-mail step")
}

func TestEmailIsNotGivenInThreeAnswers(t *testing.T) {
	t.Parallel()
	b := asking(t, handoff.EmailAsk)
	before := b.lastSeq()
	b.userWrites("one")
	b.clock.advance(599 * time.Second)
	b.fireDue()
	b.userWrites("two")
	require.Equal(t, b.clock.now().Add(600*time.Second), b.newest().DeadlineAt, "every question starts the time again")
	posted := b.userWrites("three")
	require.Equal(t, "three", posted.Event.Text)
	require.Equal(t, handoff.ControlAgent, posted.Conversation.Control)
	require.Equal(t, []string{
		"USER one", "SYSTEM EMAIL_INVALID", "USER two", "SYSTEM EMAIL_INVALID", "USER three",
		"CLOSED EMAIL_NOT_GIVEN", "SYSTEM EMAIL_NOT_GIVEN", "control AGENT 3",
	}, b.told(before))
	h := b.newest()
	require.Empty(t, b.undelivered(h.ID))
	require.Equal(t, map[handoff.CloseReason]int{handoff.ReasonEmailNotGiven: 1}, b.counters.closed)

	p, err := b.svc.ReturnPackage(b.ctx, h.ID)
	require.NoError(t, err)
	require.Len(t, p.Unanswered, 3, "what the User wrote is the Agent's again")

	b.userWrites("four")
	require.Empty(t, b.undelivered(h.ID))
}

func TestEmailIsNotGivenInTime(t *testing.T) {
	t.Parallel()
	b := asking(t, handoff.EmailOptional)
	before := b.lastSeq()
	b.pass(599 * time.Second)
	b.requireState(handoff.StateCollectingEmail, "")
	b.pass(time.Second)
	require.Equal(t, []string{"CLOSED EMAIL_NOT_GIVEN", "SYSTEM EMAIL_NOT_GIVEN", "control AGENT 3"}, b.told(before))
}

func TestEmailIsSetBesideTheChat(t *testing.T) {
	t.Parallel()
	t.Run("answers the question", func(t *testing.T) {
		t.Parallel()
		b := asking(t, handoff.EmailAsk)
		b.userWrites("wait")
		conversation, h, err := b.svc.SetEmail(b.ctx, b.conv, " ann@example.com\n")
		require.NoError(t, err)
		require.Equal(t, "ann@example.com", conversation.User.Email)
		require.Equal(t, handoff.StateRequesting, h.State)
		require.Equal(t, "ann@example.com", h.Email)
		require.Equal(t, []string{"OPEN", "MESSAGE 4"}, b.undelivered(h.ID))

		conversation, h, err = b.svc.SetEmail(b.ctx, b.conv, "ann@example.com")
		require.NoError(t, err, "again changes nothing")
		require.Equal(t, b.conversation(), conversation)
		require.Equal(t, b.newest(), *h)
	})
	t.Run("a bad address changes nothing", func(t *testing.T) {
		t.Parallel()
		b := asking(t, handoff.EmailAsk)
		before := b.conversation()
		_, _, err := b.svc.SetEmail(b.ctx, b.conv, "ann at example")
		requireInvalid(t, err, "email")
		require.Equal(t, before, b.conversation())
		require.Zero(t, b.newest().EmailTries)
	})
	t.Run("without a question it is only stored", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		conversation, h, err := b.svc.SetEmail(b.ctx, b.conv, "ann@example.com")
		require.NoError(t, err)
		require.Equal(t, "ann@example.com", conversation.User.Email)
		require.Nil(t, h)
		require.Equal(t, "ann@example.com", b.reach(handoff.StateWaiting).Email)
		_, h, err = b.svc.SetEmail(b.ctx, b.conv, "bob@example.com")
		require.NoError(t, err)
		require.Equal(t, handoff.StateWaiting, h.State)
		require.Equal(t, "ann@example.com", h.Email, "what the desk was given stays on record")
	})
}

func TestEmailIsProvided(t *testing.T) {
	t.Parallel()
	b := asking(t, handoff.EmailAsk)
	before := b.conversation()
	_, err := b.svc.ProvideEmail(b.ctx, b.conv, "ann at example")
	requireInvalid(t, err, "email")
	require.Equal(t, before, b.conversation())

	h, err := b.svc.ProvideEmail(b.ctx, b.conv, " ann@example.com ")
	require.NoError(t, err)
	require.Equal(t, b.newest(), h)
	require.Equal(t, handoff.StateRequesting, h.State)
	require.Equal(t, "ann@example.com", h.Email)
	require.Equal(t, "ann@example.com", b.conversation().User.Email)
	require.Equal(t, []string{"OPEN"}, b.undelivered(h.ID))

	// Without a question nothing is stored.
	_, err = b.svc.ProvideEmail(b.ctx, b.conv, "bob@example.com")
	requireNotAllowed(t, err, handoff.StateRequesting)
	_, err = b.svc.Cancel(b.ctx, b.conv)
	require.NoError(t, err)
	_, err = b.svc.ProvideEmail(b.ctx, b.conv, "bob@example.com")
	requireNotAllowed(t, err, handoff.StateClosed)
	require.Equal(t, "ann@example.com", b.conversation().User.Email)
}

// The time for the e-mail is not waiting.
func TestEmailStepDoesNotRunAgainstTheWaitTimeout(t *testing.T) {
	t.Parallel()
	b := asking(t, handoff.EmailAsk)
	b.pass(500 * time.Second)
	b.userWrites("ann@example.com")
	b.pass(500 * time.Second)
	b.requireState(handoff.StateRequesting, "")
	b.deskAccepts()
	h := b.newest()
	require.Equal(t, b.clock.now(), h.WaitingSince)
	require.Equal(t, b.clock.now().Add(60*time.Second), h.DeadlineAt)
}

func TestEmailStepWithdrawn(t *testing.T) {
	t.Parallel()
	for name, withdraw := range map[string]func(*bundle) (handoff.Handoff, error){
		"cancelled": func(b *bundle) (handoff.Handoff, error) { return b.svc.Cancel(b.ctx, b.conv) },
		"ended":     func(b *bundle) (handoff.Handoff, error) { return b.svc.EndByUser(b.ctx, b.conv) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := asking(t, handoff.EmailAsk)
			b.userWrites("on second thought")
			before := b.lastSeq()
			h, err := withdraw(b)
			require.NoError(t, err)
			require.Equal(t, handoff.ReasonUserCancelled, h.Reason)
			require.Equal(t, []string{"CLOSED USER_CANCELLED", "SYSTEM ENDED_BY_USER", "control AGENT 3"}, b.told(before))
			require.Empty(t, b.undelivered(h.ID), "the desk never heard of it")
			require.Empty(t, b.alarm.lanes)
		})
	}
}

// A desk that answers a session which it cannot know is not let in.
func TestEmailStepRefusesTheDesk(t *testing.T) {
	t.Parallel()
	b := asking(t, handoff.EmailAsk)
	before := b.lastSeq()
	requireNotAllowed(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskMessage, Text: "hi"}), handoff.StateCollectingEmail)
	requireNotAllowed(t, b.deskSays(handoff.DeskEvent{Kind: handoff.DeskEnded}), handoff.StateCollectingEmail)
	require.Equal(t, before, b.lastSeq())
	_, err := b.svc.KeepWaiting(b.ctx, b.conv)
	requireNotAllowed(t, err, handoff.StateCollectingEmail)
}

func TestEmailDecidedAgain(t *testing.T) {
	t.Parallel()
	b := asking(t, handoff.EmailAsk)
	b.store.makeStale(2)
	b.userWrites("no")
	require.Equal(t, 3, b.store.decisions())
	h := b.newest()
	require.Equal(t, 1, h.EmailTries)
	require.Equal(t, []int64{4}, h.HeldSeqs)
	_, err := b.svc.PostUserMessage(b.ctx, b.conv, handoff.Draft{})
	requireFault(t, err, fault.InvalidInput)
}
