package intercom

import (
	"net/url"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/net/html"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

// looksLikeHTML recognises bodies of webhooks before 2.15: they begin with a tag.
// The names keep apart what a teammate typed, such as "<name> wrote".
var looksLikeHTML = regexp.MustCompile(`(?i)^\s*<(p|div|br|h[1-6]|ul|ol|li|a|img|b|i|u|em|strong|span|pre|code|blockquote|table|figure)[\s/>]`)

// placeholder stands in plain bodies for a file that is listed as attachment.
var placeholder = regexp.MustCompile(`\[(Image|Attachment|GIF)\]`)

// clean turns the body of a part into text, and its files and the pictures in the
// body into attachments that this service takes.
func clean(body string, files []upload) (string, []handoff.Attachment) {
	var list []handoff.Attachment
	for _, f := range files {
		a := handoff.Attachment{
			URL: f.URL, Name: desk.Line(f.Name, handoff.MaxAttachmentNameRunes), ContentType: desk.Line(f.ContentType, handoff.MaxContentTypeRunes),
		}
		if f.Size > 0 && f.Size < 1<<53 {
			a.SizeBytes = int64(f.Size)
		}
		list = append(list, a)
	}
	body = strings.ReplaceAll(strings.ToValidUTF8(body, "\uFFFD"), "\x00", "")
	if looksLikeHTML.MatchString(body) {
		var images []string
		body, images = fromHTML(body)
		for _, src := range images {
			if !slices.ContainsFunc(list, func(a handoff.Attachment) bool { return a.URL == src }) {
				list = append(list, handoff.Attachment{URL: src})
			}
		}
	} else if n := len(list); n > 0 {
		body = placeholder.ReplaceAllStringFunc(body, func(s string) string {
			if n--; n >= 0 {
				return ""
			}
			return s
		})
	}
	body = strings.TrimSpace(strings.ReplaceAll(body, "\r\n", "\n"))
	return desk.Takeable(body, list)
}

// fromHTML reads the text of an HTML body, one line for each block, links as
// "text (address)", and the addresses of its pictures.
func fromHTML(body string) (text string, images []string) {
	w := &lines{}
	z := html.NewTokenizer(strings.NewReader(body))
	skipping := "" // the element whose content is no text
	href, label := "", 0
	for {
		kind := z.Next()
		if kind == html.ErrorToken {
			return w.text(), images
		}
		t := z.Token()
		if skipping != "" {
			if kind == html.EndTagToken && t.Data == skipping {
				skipping = ""
			}
			continue
		}
		switch kind {
		case html.TextToken:
			w.write(t.Data)
		case html.StartTagToken, html.SelfClosingTagToken:
			switch t.Data {
			case "script", "style", "title":
				if kind == html.StartTagToken {
					skipping = t.Data
				}
			case "br":
				w.newline()
			case "img":
				if src := attribute(&t, "src"); isWeb(src) && len(images) < maxInlineImages {
					images = append(images, src)
				}
			case "a":
				href, label = attribute(&t, "href"), w.b.Len()
			case "li":
				w.block()
				w.write("- ")
			case "pre":
				w.block()
				w.pre++
			default:
				if blockElements[t.Data] {
					w.block()
				}
			}
		case html.EndTagToken:
			switch t.Data {
			case "a":
				if isWeb(href) && strings.TrimSpace(w.b.String()[min(label, w.b.Len()):]) != href {
					w.write(" (" + href + ")")
				}
				href = ""
			case "pre":
				w.pre = max(w.pre-1, 0)
				w.block()
			case "li":
				w.block()
			default:
				if blockElements[t.Data] {
					w.block()
				}
			}
		default: // comments and document types
		}
	}
}

// maxInlineImages bounds the pictures that are taken out of one body.
const maxInlineImages = 50

var blockElements = map[string]bool{
	"p": true, "div": true, "h1": true, "h2": true, "h3": true, "h4": true, "h5": true, "h6": true, "ul": true,
	"ol": true, "blockquote": true, "table": true, "tr": true, "figure": true, "section": true, "article": true,
}

func attribute(t *html.Token, name string) string {
	for _, a := range t.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func isWeb(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}

// lines writes text as a browser would show it: white space is one space, except
// in preformatted text.
type lines struct {
	b     strings.Builder
	pre   int
	space bool // a space is due before the next word
}

func (w *lines) write(s string) {
	if w.pre > 0 {
		w.b.WriteString(s)
		return
	}
	for _, r := range s {
		switch {
		case r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f': // not U+00A0
			w.space = true
		default:
			if w.space && !w.atLineStart() {
				w.b.WriteByte(' ')
			}
			w.space = false
			w.b.WriteRune(r)
		}
	}
}

func (w *lines) atLineStart() bool {
	return w.b.Len() == 0 || strings.HasSuffix(w.b.String(), "\n")
}

// newline ends the line; block ends it only if something stands in it.
func (w *lines) newline() {
	w.space = false
	w.b.WriteByte('\n')
}

func (w *lines) block() {
	if !w.atLineStart() {
		w.newline()
	}
	w.space = false
}

var manyLines = regexp.MustCompile(`\n{3,}`)

func (w *lines) text() string {
	return strings.TrimSpace(manyLines.ReplaceAllString(strings.ReplaceAll(w.b.String(), "\u00a0", " "), "\n\n"))
}
