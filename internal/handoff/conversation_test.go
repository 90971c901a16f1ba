package handoff_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

func TestStartConversation(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	in := handoff.StartConversation{
		AgentID: b.agent, Channel: handoff.ChannelWhatsApp, Language: "zh-tw",
		User:         handoff.User{ID: " 42 ", AnonymousID: "a", Name: "Ann", Email: " ann@example.com ", Phone: "+1 555"},
		CustomFields: map[string]string{"plan": "gold\nplus"}, IdempotencyKey: "k",
	}
	c, err := b.svc.StartConversation(b.ctx, in)
	require.NoError(t, err)
	require.Equal(t, handoff.Conversation{
		ID: c.ID, AgentID: b.agent, Channel: handoff.ChannelWhatsApp, Language: "zh-TW",
		User:         handoff.User{ID: "42", AnonymousID: "a", Name: "Ann", Email: "ann@example.com", Phone: "+1 555"},
		CustomFields: map[string]string{"plan": "gold\nplus"},
		Control:      handoff.ControlAgent, Epoch: 1, CreatedAt: start, UpdatedAt: start,
	}, c)
	require.True(t, handoff.HasPrefix(c.ID, handoff.ConversationPrefix))

	again, err := b.svc.StartConversation(b.ctx, in)
	require.NoError(t, err)
	require.Equal(t, c, again)
	list, err := b.svc.Conversations(b.ctx, handoff.ConversationFilter{AgentID: b.agent}, handoff.Page{First: 10})
	require.NoError(t, err)
	require.Equal(t, []handoff.Conversation{c}, list.Items)
	owner, err := b.svc.AgentOf(b.ctx, c.ID)
	require.NoError(t, err)
	require.Equal(t, b.agent, owner)
	_, err = b.svc.AgentOf(b.ctx, "cnv_unknown")
	requireFault(t, err, fault.NotFound)
}

func TestStartConversationLimits(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	long := func(n int) string { return strings.Repeat("語", n) }
	custom := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[strconv.Itoa(i)] = "v"
		}
		return m
	}
	user := func(u handoff.User) handoff.StartConversation { return handoff.StartConversation{User: u} }
	for name, c := range map[string]struct {
		in    handoff.StartConversation
		field string // "" = accepted
	}{
		"nothing known":         {handoff.StartConversation{}, ""},
		"unknown channel":       {handoff.StartConversation{Channel: "FAX"}, "channel"},
		"longest id":            {user(handoff.User{ID: long(256)}), ""},
		"id too long":           {user(handoff.User{ID: long(257)}), "user.id"},
		"id of two lines":       {user(handoff.User{ID: "a\nb"}), "user.id"},
		"longest anonymous id":  {user(handoff.User{AnonymousID: long(256)}), ""},
		"anonymous id too long": {user(handoff.User{AnonymousID: long(257)}), "user.anonymousId"},
		"longest name":          {user(handoff.User{Name: long(256)}), ""},
		"name too long":         {user(handoff.User{Name: long(257)}), "user.name"},
		"longest phone":         {user(handoff.User{Phone: strings.Repeat("1", 32)}), ""},
		"phone too long":        {user(handoff.User{Phone: strings.Repeat("1", 33)}), "user.phone"},
		"no e-mail address":     {user(handoff.User{Email: "ann"}), "user.email"},
		"unknown language":      {handoff.StartConversation{Language: "notalanguage"}, "language"},
		"most custom fields":    {handoff.StartConversation{CustomFields: custom(50)}, ""},
		"too many":              {handoff.StartConversation{CustomFields: custom(51)}, "customFields"},
		"longest key":           {handoff.StartConversation{CustomFields: map[string]string{long(64): ""}}, ""},
		"key too long":          {handoff.StartConversation{CustomFields: map[string]string{long(65): ""}}, "customFields.key"},
		"empty key":             {handoff.StartConversation{CustomFields: map[string]string{" ": "x"}}, "customFields.key"},
		"longest value":         {handoff.StartConversation{CustomFields: map[string]string{"k": long(1_024)}}, ""},
		"value too long":        {handoff.StartConversation{CustomFields: map[string]string{"k": long(1_025)}}, "customFields.value"},
		"idempotency key":       {handoff.StartConversation{IdempotencyKey: strings.Repeat("k", 129)}, "idempotencyKey"},
	} {
		c.in.AgentID = b.agent
		if c.in.Channel == "" {
			c.in.Channel = handoff.ChannelWidget
		}
		_, err := b.svc.StartConversation(b.ctx, c.in)
		if c.field == "" {
			require.NoError(t, err, name)
		} else {
			requireInvalid(t, err, c.field)
		}
	}
	_, err := b.svc.StartConversation(b.ctx, handoff.StartConversation{AgentID: "agt_unknown", Channel: handoff.ChannelWidget})
	requireFault(t, err, fault.NotFound)
}

func TestMessageLimits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	files := func(n int) (list []handoff.Attachment) {
		for range n {
			list = append(list, photo)
		}
		return list
	}
	file := func(change func(*handoff.Attachment)) []handoff.Attachment {
		list := files(2)
		change(&list[1])
		return list
	}
	for name, c := range map[string]struct {
		d     handoff.Draft
		field string // "" = accepted
	}{
		"longest text":     {handoff.Draft{Text: strings.Repeat("語", 16_000)}, ""},
		"text too long":    {handoff.Draft{Text: strings.Repeat("語", 16_001)}, "text"},
		"no text":          {handoff.Draft{Text: " \n"}, "text"},
		"text with NUL":    {handoff.Draft{Text: "a\x00"}, "text"},
		"text not UTF-8":   {handoff.Draft{Text: "\xff"}, "text"},
		"only a file":      {handoff.Draft{Attachments: files(1)}, ""},
		"most files":       {handoff.Draft{Attachments: files(10)}, ""},
		"too many files":   {handoff.Draft{Attachments: files(11)}, "attachments"},
		"longest address":  {handoff.Draft{Attachments: file(func(a *handoff.Attachment) { a.URL = "https://x/" + strings.Repeat("a", 2_038) })}, ""},
		"address too long": {handoff.Draft{Attachments: file(func(a *handoff.Attachment) { a.URL = "https://x/" + strings.Repeat("a", 2_039) })}, "attachments[1].url"},
		"no address":       {handoff.Draft{Attachments: file(func(a *handoff.Attachment) { a.URL = "" })}, "attachments[1].url"},
		"a script":         {handoff.Draft{Attachments: file(func(a *handoff.Attachment) { a.URL = "javascript:alert(1)" })}, "attachments[1].url"},
		"a path":           {handoff.Draft{Attachments: file(func(a *handoff.Attachment) { a.URL = "/photo.jpg" })}, "attachments[1].url"},
		"name too long":    {handoff.Draft{Attachments: file(func(a *handoff.Attachment) { a.Name = strings.Repeat("n", 256) })}, "attachments[1].name"},
		"type too long":    {handoff.Draft{Attachments: file(func(a *handoff.Attachment) { a.ContentType = strings.Repeat("n", 128) })}, "attachments[1].contentType"},
		"negative size":    {handoff.Draft{Attachments: file(func(a *handoff.Attachment) { a.SizeBytes = -1 })}, "attachments[1].sizeBytes"},
		"key too long":     {handoff.Draft{Text: "x", IdempotencyKey: strings.Repeat("k", 129)}, "idempotencyKey"},
	} {
		before := b.lastSeq()
		_, byUser := b.svc.PostUserMessage(b.ctx, b.conv, c.d)
		_, byAgent := b.svc.PostAgentMessage(b.ctx, b.conv, 1, c.d)
		if c.field == "" {
			require.NoError(t, byUser, name)
			require.NoError(t, byAgent, name)
			require.Equal(t, c.d.Attachments, b.log()[before].Attachments)
			continue
		}
		requireInvalid(t, byUser, c.field)
		requireInvalid(t, byAgent, c.field)
		require.Equal(t, before, b.lastSeq(), name)
	}
	_, err := b.svc.PostUserMessage(b.ctx, "cnv_unknown", handoff.Draft{Text: "x"})
	requireFault(t, err, fault.NotFound)
}

func TestReadEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 5 {
		b.userWrites(strconv.Itoa(i))
	}
	events, err := b.svc.Events(b.ctx, b.conv, 2, 2)
	require.NoError(t, err)
	require.Equal(t, []string{"USER 2", "USER 3"}, said(events))
	require.Equal(t, "evt_"+strings.TrimPrefix(b.conv, "cnv_")+"_3", events[0].ID())
	_, err = b.svc.Events(b.ctx, b.conv, -1, 2)
	requireInvalid(t, err, "after")
	for _, first := range []int{0, handoff.MaxPageSize + 1} {
		_, err = b.svc.Events(b.ctx, b.conv, 0, first)
		requireInvalid(t, err, "first")
	}
}

// What was committed is what subscribers are told, in order.
func TestSubscribersAreToldEverything(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.userWrites("hi")
	b.reach(handoff.StateWaitExpired)
	b.operatorWrites("hello")
	b.userWrites("bye")
	b.operatorEnds()
	require.Equal(t, b.log(), b.feed.events)
}

func TestSignalsOfTheUser(t *testing.T) {
	t.Parallel()
	send := func(b *bundle) {
		b.t.Helper()
		require.NoError(b.t, b.svc.SendSignal(b.ctx, b.conv, handoff.AuthorUser, handoff.SignalTyping))
	}
	for _, state := range handoff.States {
		b := setup(t)
		b.reach(state)
		log := b.log()
		send(b)
		require.Equal(t, log, b.log(), "not stored")
		require.Len(t, b.feed.signals, 1)
		hears := state == handoff.StateWaiting || state == handoff.StateWaitExpired || state == handoff.StateActive
		require.Equal(t, hears, len(b.desks.signals) == 1, "%s", state)
	}
	b := setupDesk(t, localDesk)
	b.reach(handoff.StateActive)
	send(b)
	require.Len(t, b.feed.signals, 1)
	require.Empty(t, b.desks.signals, "its Operators subscribe here")

	b = setup(t)
	b.reach(handoff.StateActive)
	require.NoError(t, b.svc.SendSignal(b.ctx, b.conv, handoff.AuthorOperator, handoff.SignalRead))
	require.Equal(t, handoff.AuthorOperator, b.feed.signals[0].Author)
	require.Empty(t, b.desks.signals, "nobody is told what he did himself")
	requireInvalid(t, b.svc.SendSignal(b.ctx, b.conv, handoff.AuthorOperator, handoff.SignalQueued), "kind")
	require.Len(t, b.feed.signals, 1)
	requireFault(t, b.svc.SendSignal(b.ctx, "cnv_unknown", handoff.AuthorUser, handoff.SignalTyping), fault.NotFound)
}

func TestIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	last := ""
	for range 1_000 {
		id := handoff.NewID(handoff.HandoffPrefix)
		require.Regexp(t, `^hof_[0-9a-hjkmnp-tv-z]{26}$`, id)
		require.True(t, handoff.HasPrefix(id, handoff.HandoffPrefix))
		require.False(t, handoff.HasPrefix(id, handoff.AgentPrefix))
		require.False(t, seen[id])
		require.Greater(t, id, last, "ids sort by age")
		seen[id], last = true, id
	}
	require.False(t, handoff.HasPrefix("hof_", handoff.HandoffPrefix))
}
