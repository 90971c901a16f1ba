package handoff_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/fault"
	"handoff/internal/handoff"
	"handoff/internal/hours"
)

func TestDefaultSettings(t *testing.T) {
	t.Parallel()
	s := handoff.DefaultSettings("Asia/Taipei")
	require.NoError(t, s.Validate())
	require.False(t, s.Enabled)
	require.Equal(t, handoff.Seconds(60), s.WaitTimeout)
	require.Equal(t, handoff.WaitAsk, s.WaitAction)
	require.Equal(t, handoff.Seconds(180), s.SessionTimeout)
	require.Equal(t, handoff.Seconds(600), s.EmailTimeout)
	require.Equal(t, 5, s.ContextRounds)
	require.Equal(t, handoff.EmailAsk, s.EmailPolicy)
	require.Equal(t, "Asia/Taipei", s.TimeZone)
	require.Equal(t, "en", s.Language)
	require.Empty(t, s.Hours, "always open")
}

func TestSettingsLimits(t *testing.T) {
	t.Parallel()
	rule := hours.Rule{Kind: hours.Dated, Date: hours.Date{Year: 2026, Month: 1, Day: 1}, Start: 0, End: 60}
	rules := func(n int) (list []hours.Rule) {
		for range n {
			list = append(list, rule)
		}
		return list
	}
	overrides := func(n int) (list []handoff.TextOverride) {
		for i := range n {
			list = append(list, handoff.TextOverride{
				Language: fmt.Sprintf("en-x-%d", i), Notice: handoff.NoticeBusy, Text: "busy",
			})
		}
		return list
	}
	override := func(language string, notice handoff.Notice, text string) []handoff.TextOverride {
		return []handoff.TextOverride{{Language: "fr", Notice: handoff.NoticeBusy, Text: "occupé"}, {Language: language, Notice: notice, Text: text}}
	}
	longEmail := func(n int) string { return strings.Repeat("a", n-len("@example.com")) + "@example.com" }

	for name, c := range map[string]struct {
		set   func(*handoff.Settings)
		field string // "" = accepted
		limit string // what the text must name
	}{
		"trigger at the limit": {func(s *handoff.Settings) { s.Trigger = strings.Repeat("語", 2_000) }, "", ""},
		"trigger beyond it":    {func(s *handoff.Settings) { s.Trigger = strings.Repeat("語", 2_001) }, "trigger", "2000"},
		"trigger with NUL":     {func(s *handoff.Settings) { s.Trigger = "a\x00" }, "trigger", "NUL"},
		"trigger not UTF-8":    {func(s *handoff.Settings) { s.Trigger = "\xff" }, "trigger", "UTF-8"},

		"shortest wait":    {func(s *handoff.Settings) { s.WaitTimeout = 5 }, "", ""},
		"wait too short":   {func(s *handoff.Settings) { s.WaitTimeout = 4 }, "waitTimeoutSeconds", "5"},
		"longest wait":     {func(s *handoff.Settings) { s.WaitTimeout = 3_600 }, "", ""},
		"wait too long":    {func(s *handoff.Settings) { s.WaitTimeout = 3_601 }, "waitTimeoutSeconds", "3600"},
		"negative wait":    {func(s *handoff.Settings) { s.WaitTimeout = -60 }, "waitTimeoutSeconds", "5"},
		"shortest session": {func(s *handoff.Settings) { s.SessionTimeout = 5 }, "", ""},
		"session short":    {func(s *handoff.Settings) { s.SessionTimeout = 4 }, "sessionTimeoutSeconds", "5"},
		"longest session":  {func(s *handoff.Settings) { s.SessionTimeout = 86_400 }, "", ""},
		"session too long": {func(s *handoff.Settings) { s.SessionTimeout = 86_401 }, "sessionTimeoutSeconds", "86400"},
		"shortest e-mail":  {func(s *handoff.Settings) { s.EmailTimeout = 5 }, "", ""},
		"e-mail too short": {func(s *handoff.Settings) { s.EmailTimeout = 4 }, "emailTimeoutSeconds", "5"},
		"longest e-mail":   {func(s *handoff.Settings) { s.EmailTimeout = 86_400 }, "", ""},
		"e-mail too long":  {func(s *handoff.Settings) { s.EmailTimeout = 86_401 }, "emailTimeoutSeconds", "86400"},

		"end after waiting":     {func(s *handoff.Settings) { s.WaitAction = handoff.WaitEnd }, "", ""},
		"unknown wait action":   {func(s *handoff.Settings) { s.WaitAction = "SHRUG" }, "waitAction", "ASK or END"},
		"no wait action":        {func(s *handoff.Settings) { s.WaitAction = "" }, "waitAction", "ASK or END"},
		"optional e-mail":       {func(s *handoff.Settings) { s.EmailPolicy = handoff.EmailOptional }, "", ""},
		"never e-mail":          {func(s *handoff.Settings) { s.EmailPolicy = handoff.EmailNever }, "", ""},
		"unknown e-mail policy": {func(s *handoff.Settings) { s.EmailPolicy = "MAYBE" }, "emailPolicy", "ASK, OPTIONAL or NEVER"},

		"no rounds":       {func(s *handoff.Settings) { s.ContextRounds = 0 }, "", ""},
		"rounds below 0":  {func(s *handoff.Settings) { s.ContextRounds = -1 }, "contextRounds", "from 0 to 50"},
		"most rounds":     {func(s *handoff.Settings) { s.ContextRounds = 50 }, "", ""},
		"too many rounds": {func(s *handoff.Settings) { s.ContextRounds = 51 }, "contextRounds", "from 0 to 50"},

		"longest off-hours reply":  {func(s *handoff.Settings) { s.OffHoursReply = strings.Repeat("語", 2_000) }, "", ""},
		"off-hours reply too long": {func(s *handoff.Settings) { s.OffHoursReply = strings.Repeat("語", 2_001) }, "offHoursReply", "2000"},

		"a fallback address":        {func(s *handoff.Settings) { s.FallbackEmail = " desk@example.com " }, "", ""},
		"longest fallback address":  {func(s *handoff.Settings) { s.FallbackEmail = longEmail(254) }, "", ""},
		"fallback address too long": {func(s *handoff.Settings) { s.FallbackEmail = longEmail(255) }, "fallbackEmail", "254"},
		"no fallback address":       {func(s *handoff.Settings) { s.FallbackEmail = "desk" }, "fallbackEmail", "name@example.com"},

		"a language":       {func(s *handoff.Settings) { s.Language = "zh-tw" }, "", ""},
		"no language":      {func(s *handoff.Settings) { s.Language = " " }, "language", "empty"},
		"unknown language": {func(s *handoff.Settings) { s.Language = "klingonese" }, "language", "BCP 47"},
		"language of 36":   {func(s *handoff.Settings) { s.Language = "en-x-" + strings.Repeat("abcdefg-", 3) + "1234567" }, "language", "35"},

		"a zone":        {func(s *handoff.Settings) { s.TimeZone = "America/New_York" }, "", ""},
		"unknown zone":  {func(s *handoff.Settings) { s.TimeZone = "Mars/Olympus" }, "timeZone", "IANA"},
		"no zone":       {func(s *handoff.Settings) { s.TimeZone = "" }, "timeZone", "IANA"},
		"most rules":    {func(s *handoff.Settings) { s.Hours = rules(10) }, "", ""},
		"too many":      {func(s *handoff.Settings) { s.Hours = rules(11) }, "rules", "10"},
		"a broken rule": {func(s *handoff.Settings) { s.Hours = append(rules(1), hours.Rule{Kind: "SOMETIMES"}) }, "rules[1].kind", "WEEKLY"},

		"most texts":        {func(s *handoff.Settings) { s.Texts = overrides(500) }, "", ""},
		"too many texts":    {func(s *handoff.Settings) { s.Texts = overrides(501) }, "texts", "500"},
		"longest text":      {func(s *handoff.Settings) { s.Texts = override("de", handoff.NoticeBusy, strings.Repeat("ü", 1_000)) }, "", ""},
		"text too long":     {func(s *handoff.Settings) { s.Texts = override("de", handoff.NoticeBusy, strings.Repeat("ü", 1_001)) }, "texts[1].text", "1000"},
		"empty text":        {func(s *handoff.Settings) { s.Texts = override("de", handoff.NoticeBusy, " \n") }, "texts[1].text", "standard text"},
		"text, no notice":   {func(s *handoff.Settings) { s.Texts = override("de", "HELLO", "hallo") }, "texts[1].notice", "HELLO"},
		"text, no language": {func(s *handoff.Settings) { s.Texts = override("", handoff.NoticeBusy, "x") }, "texts[1].language", "empty"},
		"text, bad language": {func(s *handoff.Settings) { s.Texts = override("germanic", handoff.NoticeBusy, "x") },
			"texts[1].language", "BCP 47"},
		"text twice":              {func(s *handoff.Settings) { s.Texts = override("FR", handoff.NoticeBusy, "encore") }, "texts[1]", "already"},
		"text of another notice":  {func(s *handoff.Settings) { s.Texts = override("fr", handoff.NoticeEnded, "fini") }, "", ""},
		"text of another country": {func(s *handoff.Settings) { s.Texts = override("fr-CA", handoff.NoticeBusy, "occupé") }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := handoff.DefaultSettings("UTC")
			c.set(&s)
			err := s.Validate()
			if c.field == "" {
				require.NoError(t, err)
				return
			}
			require.Contains(t, requireInvalid(t, err, c.field).Public, c.limit)
		})
	}
}

func TestSettingsAreNormalised(t *testing.T) {
	t.Parallel()
	s := handoff.DefaultSettings("UTC")
	s.FallbackEmail = " desk@example.com "
	s.Language = " zh-tw "
	s.Texts = []handoff.TextOverride{{Language: "EN-us", Notice: handoff.NoticeBusy, Text: " busy "}}
	require.NoError(t, s.Validate())
	require.Equal(t, "desk@example.com", s.FallbackEmail)
	require.Equal(t, "zh-TW", s.Language)
	require.Equal(t, "en-US", s.Texts[0].Language)
	require.Equal(t, " busy ", s.Texts[0].Text, "a text is the Agent's own business")

	stored, err := json.Marshal(s)
	require.NoError(t, err)
	var read handoff.Settings
	require.NoError(t, json.Unmarshal(stored, &read))
	require.Equal(t, s, read)
}

func TestUpdateSettings(t *testing.T) {
	t.Parallel()
	b := setup(t)
	before, err := b.svc.Agent(b.ctx, b.agent)
	require.NoError(t, err)

	_, err = b.svc.UpdateSettings(b.ctx, b.agent, func(s *handoff.Settings) error {
		s.Trigger = "always"
		s.WaitTimeout = 0
		return nil
	})
	requireInvalid(t, err, "waitTimeoutSeconds")
	_, err = b.svc.UpdateSettings(b.ctx, b.agent, func(*handoff.Settings) error { return fault.Invalid("x", "no") })
	requireInvalid(t, err, "x")
	after, err := b.svc.Agent(b.ctx, b.agent)
	require.NoError(t, err)
	require.Equal(t, before, after, "bad input changes nothing")

	_, err = b.svc.UpdateSettings(b.ctx, "agt_unknown", func(*handoff.Settings) error { return nil })
	requireFault(t, err, fault.NotFound)
}

// What is changed holds at once, also for texts that are kept in memory.
func TestSettingsHoldAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.reach(handoff.StateWaiting)
	b.settings(func(s *handoff.Settings) {
		s.Texts = []handoff.TextOverride{{Language: "en", Notice: handoff.NoticeConnected, Text: "Here we are"}}
	})
	before := b.lastSeq()
	b.operatorWrites("Hello")
	require.Equal(t, "Here we are", b.log()[before+1].Text)
}

func TestEnablingNeedsADesk(t *testing.T) {
	t.Parallel()
	b := unconfigured(t)
	enable := func() error {
		_, err := b.svc.UpdateSettings(b.ctx, b.agent, func(s *handoff.Settings) error {
			s.Enabled = true
			return nil
		})
		return err
	}
	requireInvalid(t, enable(), "enabled")

	c, err := b.svc.Connect(b.ctx, handoff.Connect{AgentID: b.agent, Kind: localDesk})
	require.NoError(t, err)
	requireInvalid(t, enable(), "enabled") // connected, not active
	_, err = b.svc.Activate(b.ctx, c.ID)
	require.NoError(t, err)
	require.NoError(t, enable())
	require.NoError(t, enable(), "again")

	// An unavailable desk may come back; that is no reason to forbid it.
	b.svc.ReportDesk(b.ctx, c.ID, fault.New(fault.DeskUnavailable, "down"))
	b.settings(func(s *handoff.Settings) { s.Enabled = false })
	require.NoError(t, enable())

	require.NoError(t, b.svc.Disconnect(b.ctx, c.ID))
	agent, err := b.svc.Agent(b.ctx, b.agent)
	require.NoError(t, err)
	require.False(t, agent.Settings.Enabled, "without a desk it is off")
	requireInvalid(t, enable(), "enabled")
}
