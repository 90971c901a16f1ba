package intercom

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"handoff/internal/handoff"
)

func TestClean(t *testing.T) {
	t.Parallel()
	picture := upload{URL: "https://files.example.com/a.png?x=1&y=2", Name: "a.png"}
	for body, want := range map[string]string{
		"": "",
		"<p class=\"no-margin\">Hi &amp; bye<br>two</p>":                       "Hi & bye\ntwo",
		"<p>one</p>\n<p>two</p>":                                               "one\ntwo",
		"<p>one</p><p></p><p>two</p>":                                          "one\ntwo",
		"<p>a   b\n c</p>":                                                     "a b c",
		"<ul><li>one</li><li><b>two</b></li></ul>":                             "- one\n- two",
		"<h1>Title</h1><div>text</div>":                                        "Title\ntext",
		`<p>See <a href="https://example.com/?a=1&amp;b=2">the page</a>.</p>`:  "See the page (https://example.com/?a=1&b=2).",
		`<p><a href="https://example.com/">https://example.com/</a></p>`:       "https://example.com/",
		`<p><a href="javascript:alert(1)">click</a></p>`:                       "click",
		"<p>a</p><script>alert('<p>x</p>')</script><style>p{}</style><p>b</p>": "a\nb",
		"<pre>  keep\n    this</pre>":                                          "keep\n    this",
		"<p>&lt;b&gt; stays</p>":                                               "<b> stays",
		"<p>open":                                                              "open",
		"<3 you & <b>me</b>":                                                   "<3 you & <b>me</b>",
		"<name> wrote &amp;":                                                   "<name> wrote &amp;",
		"plain\r\ntext  with spaces":                                           "plain\ntext  with spaces",
		"nul\x00 and \xff":                                                     "nul and \uFFFD",
		"[Image] stays without a file":                                         "[Image] stays without a file",
	} {
		got, files := clean(body, nil)
		require.Equal(t, want, got, body)
		require.Empty(t, files)
	}
	text, files := clean("[Image]\nSee [Attachment] [GIF] three", []upload{picture, {URL: "https://files.example.com/b"}})
	require.Equal(t, "See  [GIF] three", text)
	require.Len(t, files, 2)

	text, files = clean(`<div><img src="https://files.example.com/a.png?x=1&amp;y=2"><img src="https://files.example.com/c"><img src="data:x"></div>`, []upload{picture})
	require.Empty(t, text)
	require.Equal(t, []handoff.Attachment{{URL: picture.URL, Name: "a.png"}, {URL: "https://files.example.com/c"}}, files)
}

// What this service does not take as a file is still an address to read.
func TestCleanKeepsWhatItCannotTake(t *testing.T) {
	t.Parallel()
	var many []upload
	for range handoff.MaxAttachments + 1 {
		many = append(many, upload{URL: "https://files.example.com/x", Name: strings.Repeat("n", 300) + "\n", Size: -1})
	}
	text, files := clean("see", append(many, upload{URL: "ftp://files.example.com/y"}))
	require.Equal(t, "see\nhttps://files.example.com/x\nftp://files.example.com/y", text)
	require.Len(t, files, handoff.MaxAttachments)
	require.NoError(t, handoff.ValidAttachments("attachments", files))
}

func FuzzClean(f *testing.F) {
	for _, body := range []string{
		"<p>a<br>b</p>", "<ul><li>x", "<a href=https://x>y</a>", "<img src=https://x/y>", "<pre><pre>", "</a></a>", "[Image]", "<p>&#0;&nbsp;",
	} {
		f.Add(body, "https://files.example.com/a")
	}
	f.Fuzz(func(t *testing.T, body, url string) {
		text, files := clean(body, []upload{{URL: url}})
		require.True(t, utf8.ValidString(text))
		require.NotContains(t, text, "\x00")
		require.Equal(t, strings.TrimSpace(text), text)
		require.NoError(t, handoff.ValidAttachments("attachments", files))
	})
}
