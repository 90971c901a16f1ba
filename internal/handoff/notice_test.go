package handoff_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

func TestEveryNoticeHasATextInEveryLanguage(t *testing.T) {
	t.Parallel()
	for _, language := range handoff.StandardLanguages {
		seen := map[string]handoff.Notice{}
		for _, notice := range handoff.Notices {
			text := handoff.StandardText(notice, language)
			require.NotEmpty(t, text, "%s in %s", notice, language)
			require.Equal(t, strings.TrimSpace(text), text)
			require.LessOrEqual(t, utf8.RuneCountInString(text), handoff.MaxNoticeRunes)
			require.Empty(t, seen[text], "%s in %s", notice, language)
			seen[text] = notice
			require.True(t, notice.Valid())
			if language != "en" {
				require.NotEqual(t, handoff.StandardText(notice, "en"), text)
			}
		}
	}
	require.False(t, handoff.Notice("").Valid())
	require.False(t, handoff.Notice("HELLO").Valid())
}

func TestLanguageOfStandardTexts(t *testing.T) {
	t.Parallel()
	for tag, want := range map[string]string{
		"en": "en", "en-GB": "en", "en-US": "en",
		"zh-TW": "zh-Hant", "zh-HK": "zh-Hant", "zh-MO": "zh-Hant", "zh-Hant": "zh-Hant", "zh-Hant-TW": "zh-Hant",
		"zh": "zh-Hans", "zh-CN": "zh-Hans", "zh-SG": "zh-Hans", "zh-Hans": "zh-Hans", "zh-Hans-CN": "zh-Hans",
		"ja": "ja", "ja-JP": "ja",
		"de": "en", "": "en", "und": "en", "not a tag": "en",
	} {
		for _, notice := range handoff.Notices {
			require.Equal(t, handoff.StandardText(notice, want), handoff.StandardText(notice, tag), "%q", tag)
		}
	}
}

func TestTextInTheUsersLanguage(t *testing.T) {
	t.Parallel()
	const notice = handoff.NoticeBusy
	standard := func(language string) string { return handoff.StandardText(notice, language) }
	own := func(language string) handoff.TextOverride {
		return handoff.TextOverride{Language: language, Notice: notice, Text: "own text in " + language}
	}
	for name, c := range map[string]struct {
		user, agent string
		own         []handoff.TextOverride
		want        string
	}{
		"the User's language":               {"ja-JP", "en", nil, standard("ja")},
		"unknown, the Agent's":              {"", "zh-TW", nil, standard("zh-Hant")},
		"malformed, the Agent's":            {"??", "ja", nil, standard("ja")},
		"undetermined, the Agent's":         {"und", "ja", nil, standard("ja")},
		"no text, the Agent's":              {"de", "zh-CN", nil, standard("zh-Hans")},
		"no text in either":                 {"de", "fr", nil, standard("en")},
		"own text":                          {"de", "en", []handoff.TextOverride{own("de")}, "own text in de"},
		"own text for all countries":        {"de-AT", "en", []handoff.TextOverride{own("de")}, "own text in de"},
		"own text replaces the standard":    {"ja", "en", []handoff.TextOverride{own("ja")}, "own text in ja"},
		"the nearest own text":              {"en-GB", "en", []handoff.TextOverride{own("en-US"), own("en-GB")}, "own text in en-GB"},
		"own text of the right script":      {"zh-TW", "en", []handoff.TextOverride{own("zh-Hans"), own("zh-Hant")}, "own text in zh-Hant"},
		"not of the other script":           {"zh-TW", "en", []handoff.TextOverride{own("zh-Hans")}, standard("zh-Hant")},
		"nor the other way round":           {"zh-CN", "en", []handoff.TextOverride{own("zh-TW")}, standard("zh-Hans")},
		"Hong Kong reads Taiwan's":          {"zh-HK", "en", []handoff.TextOverride{own("zh-Hant")}, "own text in zh-Hant"},
		"not for another language":          {"ja", "de", []handoff.TextOverride{own("de")}, standard("ja")},
		"the Agent's own text":              {"fr", "de", []handoff.TextOverride{own("de")}, "own text in de"},
		"the last resort is English":        {"fr", "de", []handoff.TextOverride{own("ja")}, standard("en")},
		"the last resort is the own one":    {"fr", "de", []handoff.TextOverride{own("ja"), own("en")}, "own text in en"},
		"own text of another notice":        {"en", "en", []handoff.TextOverride{{Language: "en", Notice: handoff.NoticeEnded, Text: "x"}}, standard("en")},
		"own text without a language's own": {"en", "de", []handoff.TextOverride{own("de")}, standard("en")},
	} {
		s := handoff.DefaultSettings("UTC")
		s.Language, s.Texts = c.agent, c.own
		require.NoError(t, s.Validate(), name)
		require.Equal(t, c.want, s.Text(notice, c.user), name)
	}
}

func TestOffHoursText(t *testing.T) {
	t.Parallel()
	s := handoff.DefaultSettings("UTC")
	require.Equal(t, handoff.StandardText(handoff.NoticeOutOfHours, "ja"), s.OffHoursText("ja"))
	s.OffHoursReply = "Back at nine."
	require.Equal(t, "Back at nine.", s.OffHoursText("ja"), "one reply for everybody")
}

// The numbers that GPTBots chat clients know must never change.
func TestStatusCodes(t *testing.T) {
	t.Parallel()
	want := map[handoff.Notice]int{
		handoff.NoticeConnecting: 29, handoff.NoticeKeepWaiting: 30, handoff.NoticeConnected: 31,
		handoff.NoticeEndedByUser: 33, handoff.NoticeEndedByOperator: 34, handoff.NoticeEndedByTimeout: 35,
		handoff.NoticeOutOfHours: 37, handoff.NoticeBusy: 84,
	}
	for _, notice := range handoff.Notices {
		require.Equal(t, want[notice], notice.StatusCode(), "%s", notice)
	}
	require.Equal(t, 36, handoff.StatusRequested)
	require.Equal(t, 38, handoff.StatusNotReady)
}

func FuzzText(f *testing.F) {
	f.Add("zh-TW", "en", "de")
	f.Add("", "", "und")
	f.Add("x-private", "i-klingon", "art-lojban")
	f.Fuzz(func(t *testing.T, user, agent, own string) {
		s := handoff.Settings{Language: agent, Texts: []handoff.TextOverride{{Language: own, Notice: handoff.NoticeBusy, Text: "own"}}}
		require.NotEmpty(t, s.Text(handoff.NoticeBusy, user))
		require.NotEmpty(t, s.Text(handoff.NoticeConnected, user))
		require.NotEmpty(t, handoff.StandardText(handoff.NoticeBusy, user))
	})
}
