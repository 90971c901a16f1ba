package livechat

import (
	"net/url"
	"strings"
	"unicode/utf8"

	"handoff/internal/desk"
	"handoff/internal/handoff"
)

const (
	// maxEventBytes is how long the text of an event may be. LiveChat documents 16 kB
	// of UTF-8 without saying which kilobytes.
	maxEventBytes = 16_000
	// maxTextRunes is how many characters fit into it, whichever they are.
	maxTextRunes = maxEventBytes / utf8.UTFMax
)

// piece is one event to say: a text or a file.
type piece struct {
	text string
	file *handoff.Attachment
}

// newPieces cuts a text into what is said one after another.
func newPieces(t *desk.Text) []piece {
	var list []piece
	if strings.TrimSpace(t.Body) != "" {
		for _, s := range handoff.SplitText(t.Body, maxTextRunes) {
			list = append(list, piece{text: s})
		}
	}
	for i := range t.Attachments {
		list = append(list, piece{file: &t.Attachments[i]})
	}
	return list
}

// said is what a person's event says: its text, and its files as far as this service
// takes them. Other files, and pictures of cards, are addresses in the text.
func said(e *event) (text string, files []handoff.Attachment) {
	switch e.Type {
	case eventMessage:
		text = e.Text
	case eventFile:
		a := handoff.Attachment{
			URL: e.URL, Name: desk.Line(e.Name, handoff.MaxAttachmentNameRunes), ContentType: desk.Line(e.ContentType, handoff.MaxContentTypeRunes),
		}
		if e.Size > 0 && e.Size < 1<<53 {
			a.SizeBytes = int64(e.Size)
		}
		files = append(files, a)
	case eventRich:
		text = cards(e.Elements)
	}
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "")
	return desk.Takeable(strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n")), files)
}

// cards renders a rich message as text, one card below the other.
func cards(list []element) string {
	var blocks []string
	for i := range list {
		c := &list[i]
		lines := []string{c.Title, c.Subtitle}
		if isWeb(c.Image.URL) {
			lines = append(lines, c.Image.URL)
		}
		for _, b := range c.Buttons {
			label := b.Text
			if isWeb(b.Value) {
				label = strings.TrimSpace(label + " (" + b.Value + ")")
			}
			if label != "" {
				lines = append(lines, "- "+label)
			}
		}
		var block []string
		for _, l := range lines {
			if l != "" {
				block = append(block, l)
			}
		}
		if len(block) > 0 {
			blocks = append(blocks, strings.Join(block, "\n"))
		}
	}
	return strings.Join(blocks, "\n\n")
}

func isWeb(address string) bool {
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
}
