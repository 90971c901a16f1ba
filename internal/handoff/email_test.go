package handoff_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

func TestParseEmail(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{ // "" = refused
		"ann@example.com":                         "ann@example.com",
		" ann@example.com\n":                      "ann@example.com",
		"Ann.Lee+tag@mail.example.co.uk":          "Ann.Lee+tag@mail.example.co.uk",
		"o'brien@example.ie":                      "o'brien@example.ie",
		"müller@example.de":                       "müller@example.de",
		"用户@例子.广告":                                "用户@例子.广告",
		"a@b.c":                                   "a@b.c",
		strings.Repeat("a", 242) + "@example.com": strings.Repeat("a", 242) + "@example.com",
		strings.Repeat("a", 243) + "@example.com": "",
		"":                                      "",
		" ":                                     "",
		"ann":                                   "",
		"ann@":                                  "",
		"@example.com":                          "",
		"ann@example":                           "",
		"ann@.com":                              "",
		"ann@example.":                          "",
		"ann@example..com":                      "",
		"ann@@example.com":                      "",
		"ann@ex@ample.com":                      "",
		"ann lee@example.com":                   "",
		"ann@exam ple.com":                      "",
		"Ann <ann@example.com>":                 "",
		"ann@example.com, bob@example.com":      "",
		"ann@[127.0.0.1]":                       "",
		"ann@example.com\nBcc: bob@example.com": "",
		"ann@example.com\x00":                   "",
		"\xffann@example.com":                   "",
		`"ann"@example.com`:                     "",
		"mailto:ann@example.com":                "",
		"ann@example.com;bob@example.com":       "",
		"ann@example.com\u2028":                 "ann@example.com",
		"ann\u3000lee@example.com":              "",
		"ann\u00a0lee@example.com":              "",
		"ann@exam\u2028ple.com":                 "",
		"\u200bann@example.com":                 "",
		"ann@example.com\u202e":                 "",
	} {
		got, err := handoff.ParseEmail("user.email", given)
		if want == "" {
			requireInvalid(t, err, "user.email")
			require.Empty(t, got)
			continue
		}
		require.NoError(t, err, "%q", given)
		require.Equal(t, want, got)
	}
	_, err := handoff.ParseEmail("email", strings.Repeat("a", 300)+"@example.com")
	require.Contains(t, err.Error(), "254", "the limit is named")
}

func TestFindEmail(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"ann@example.com":                                    "ann@example.com",
		"My address is ann@example.com.":                     "ann@example.com",
		"(ann@example.com)":                                  "ann@example.com",
		"<ann@example.com>":                                  "ann@example.com",
		"'ann@example.com'":                                  "ann@example.com",
		"\"ann@example.com\"":                                "ann@example.com",
		"mailto:ann@example.com?subject=hi":                  "ann@example.com",
		"e-mail:ann@example.com,thanks":                      "ann@example.com",
		"write to ann@example.com!":                          "ann@example.com",
		"ann@example.com\nAnn Lee":                           "ann@example.com",
		"first.last+shop@mail.example.co.uk please":          "first.last+shop@mail.example.co.uk",
		"ann@example.com, I repeat: Ann@Example.com":         "ann@example.com",
		"a@b.co a@b.co a@b.co a@b.co":                        "a@b.co",
		"müller@example.de":                                  "müller@example.de",
		"mu\u0308ller@exa\u0308mple.de":                      "mu\u0308ller@exa\u0308mple.de",
		"почта иван@пример.рф":                               "иван@пример.рф",
		"我的信箱是ann@example.com":                               "ann@example.com",
		"我的信箱是ann@example.com，謝謝":                            "ann@example.com",
		"ann@example.com谢谢":                                  "ann@example.com",
		"メールはann@example.co.jpです":                            "ann@example.co.jp",
		"이메일은ann@example.kr입니다":                              "ann@example.kr",
		"อีเมลล์ann@example.com":                             "ann@example.com",
		"ann@example.com or bob@example.com":                 "",
		"a@b.co a@b.co a@b.co bob@example.com":               "",
		"I have none":                                        "",
		"":                                                   "",
		"@":                                                  "",
		"ann@example":                                        "",
		"ann at example.com":                                 "",
		"我@例子.广告":                                            "",
		"see https://example.com/@ann":                       "",
		strings.Repeat("a", 243) + "@example.com":            "",
		"a@b" + strings.Repeat(".c", 200):                    "",
		"price is 3@5.00 each":                               "3@5.00",
		"\u200bann@example.com\u200b":                        "ann@example.com",
		"\xff\xfe ann@example.com":                           "ann@example.com",
		"ann@example.com\x00":                                "ann@example.com",
		"ann@example.com" + strings.Repeat(" and more", 500): "ann@example.com",
	} {
		require.Equal(t, want, handoff.FindEmail(text), "%q", text)
	}
}

func FuzzFindEmail(f *testing.F) {
	for _, seed := range []string{"ann@example.com", "是ann@example.com，", "a@b.co c@d.ef", "'.@..@'", "\xff@\x00.a", "a@b.c@d.e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		found := handoff.FindEmail(text)
		if found == "" {
			return
		}
		require.Contains(t, text, found)
		parsed, err := handoff.ParseEmail("email", found)
		require.NoError(t, err)
		require.Equal(t, found, parsed)
		require.Equal(t, found, handoff.FindEmail(found))
	})
}

func FuzzParseEmail(f *testing.F) {
	for _, seed := range []string{"ann@example.com", " a@b.c ", "用户@例子.广告", "a@b", "a b@c.d", "\xff@a.b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := handoff.ParseEmail("email", s)
		if err != nil {
			require.Empty(t, parsed)
			requireInvalid(t, err, "email")
			return
		}
		require.LessOrEqual(t, len(parsed), handoff.MaxEmailLength)
		require.Equal(t, 1, strings.Count(parsed, "@"))
		require.NotContains(t, parsed, "\n")
		again, err := handoff.ParseEmail("email", parsed)
		require.NoError(t, err)
		require.Equal(t, parsed, again)
	})
}
