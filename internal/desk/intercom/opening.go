package intercom

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"handoff/internal/desk"
	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// Bounds of what is written. Intercom documents none for texts.
const (
	maxBody    = 10_000 // characters of one body
	maxBlock   = 1_800  // characters of one paragraph of a note, before escaping
	maxHistory = 80_000 // characters of the whole history; the newest stay
	maxImages  = 10     // of one reply, by the documentation
)

// noQuestion stands for the question of a User who has written nothing: a
// conversation cannot be empty.
const noQuestion = "(The user asked for a human without writing anything.)"

// piece is one thing to say as the contact.
type piece struct {
	body   string
	images []string // addresses of pictures, which Intercom fetches
	plain  string   // all of it as text
}

// newPieces cuts a text into what the contact says one after another, at least
// one. Files are pictures, or all of them are addresses in the text: this service
// does not fetch files.
func newPieces(t *desk.Text) []piece {
	if t.Empty() {
		return []piece{{body: noQuestion, plain: noQuestion}}
	}
	images := imagesOf(t.Attachments)
	text := t.Body
	if images == nil {
		text = t.Plain()
	}
	var list []piece
	for _, s := range handoff.SplitText(text, maxBody) {
		list = append(list, piece{body: s, plain: s})
	}
	if last := &list[len(list)-1]; images != nil {
		last.images = images
		last.plain = (&desk.Text{Body: last.body, Attachments: t.Attachments}).Plain()
		if last.body == "" {
			last.body = " " // required
		}
	}
	return list
}

// imagesOf gives the addresses if all files are pictures, else nil.
func imagesOf(list []handoff.Attachment) []string {
	if len(list) > maxImages {
		return nil
	}
	var urls []string
	for _, a := range list {
		if !strings.HasPrefix(a.ContentType, "image/") {
			return nil
		}
		urls = append(urls, a.URL)
	}
	return urls
}

// opening is what a new conversation has to contain.
type opening struct {
	said  []piece // by the contact; the first makes the conversation
	notes []note
	at    time.Time
}

// note is a piece of the context.
type note struct {
	marker string // recognises it in Intercom
	html   string
	plain  string
}

func newOpening(r *desk.OpenRequest) opening {
	return opening{said: newPieces(&r.Question), at: r.At, notes: newNotes(r)}
}

func newNotes(r *desk.OpenRequest) []note {
	var list []note
	pages := paginate(blocks(r))
	for i, page := range pages {
		n := note{marker: fmt.Sprintf("%s (%d/%d)", marker(r.HandoffID), i+1, len(pages))}
		for _, b := range page {
			n.html += b.html
			n.plain += b.plain + "\n"
		}
		n.html += "<p><i>" + escape(n.marker) + "</i></p>"
		n.plain += n.marker
		list = append(list, n)
	}
	return list
}

// marker is in every note of a Handoff.
func marker(handoffID string) string { return "Handoff " + handoffID }

// anyMarker finds the marker of whatever Handoff, at the end of a text.
var anyMarker = regexp.MustCompile(`Handoff \S+ \([0-9]+/[0-9]+\)\s*$`)

// block is a paragraph of the context.
type block struct{ html, plain string }

func heading(text string) block { return block{"<h2>" + escape(text) + "</h2>", text + ":"} }

// paragraphs render a labelled text, cut where it is too long for one note.
func paragraphs(label, text string) []block {
	var list []block
	for i, s := range handoff.SplitText(text, maxBlock) {
		if i == 1 {
			label += ", continued"
		}
		list = append(list, block{
			html:  "<p><b>" + escape(label) + ":</b> " + escape(s) + "</p>",
			plain: label + ": " + s,
		})
	}
	return list
}

// escape makes text show as it is in a note.
func escape(s string) string { return escaper.Replace(s) }

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r\n", "<br>", "\n", "<br>")

// blocks render the context: what the Operator has to know first comes first.
func blocks(r *desk.OpenRequest) []block {
	var list []block
	if r.Note != "" {
		list = append(list, paragraphs("Note", r.Note)...)
	}
	if r.Summary != "" {
		list = append(list, paragraphs("Summary", r.Summary)...)
	}
	if history := history(r); len(history) > 0 {
		list = append(append(list, heading("Chat history")), history...)
	}
	list = append(list, heading("Details"))
	detail := func(label, value string) {
		if value != "" {
			list = append(list, paragraphs(label, value)...)
		}
	}
	detail("Channel", string(r.Channel))
	detail("Language", r.Language)
	detail("Phone", r.User.Phone)
	if !r.EmailGiven {
		detail("E-mail (not the user's own)", r.User.Email)
	}
	for _, name := range slices.Sorted(maps.Keys(r.CustomFields)) {
		detail(name, r.CustomFields[name])
	}
	return list
}

func history(r *desk.OpenRequest) []block {
	var list []block
	said := func(by string, t *desk.Text) {
		if t.Empty() {
			return
		}
		if !t.At.IsZero() {
			by += ", " + t.At.UTC().Format("2006-01-02 15:04") + " UTC"
		}
		list = append(list, paragraphs(by, t.Plain())...)
	}
	for i := range r.Rounds {
		said("User", &r.Rounds[i].Question)
		said("Answer", &r.Rounds[i].Answer)
	}
	said("Answer to the newest question", &r.Answer)
	size := 0
	for i := len(list) - 1; i >= 0; i-- {
		if size += utf8.RuneCountInString(list[i].html); size > maxHistory {
			left := block{"<p><i>Earlier messages were left out.</i></p>", "(Earlier messages were left out.)"}
			return append([]block{left}, list[i+1:]...)
		}
	}
	return list
}

// paginate fills notes with blocks.
func paginate(list []block) [][]block {
	var pages [][]block
	size := maxBody + 1 // so that the first block opens a page
	for _, b := range list {
		n := max(utf8.RuneCountInString(b.html), utf8.RuneCountInString(b.plain)+1)
		if size+n > maxBody-200 { // the marker needs some
			pages = append(pages, nil)
			size = 0
		}
		size += n
		pages[len(pages)-1] = append(pages[len(pages)-1], b)
	}
	return pages
}

// complete adds to a conversation what is missing of its opening. found is the
// conversation as it is, nil = it has just been made.
func (d *intercomDesk) complete(ctx context.Context, who identity, ref, contactID string, o *opening, found *conversation) error {
	rest := o.said[1:]
	if found != nil {
		n, _ := arrived(found, rest, o.at, byContact)
		rest = rest[n:]
	}
	for i := range rest {
		if _, err := d.say(ctx, who, ref, &rest[i]); err != nil {
			return err
		}
	}
	for i := range o.notes {
		n := &o.notes[i]
		if found != nil && hasMarker(found, n.marker) {
			continue
		}
		if err := d.note(ctx, who, ref, contactID, n); err != nil {
			return err
		}
	}
	return nil
}

// note writes a note. Where the teammate may not, or does not exist, or the note is
// not taken, the contact says it.
func (d *intercomDesk) note(ctx context.Context, who identity, ref, contactID string, n *note) error {
	_, err := d.reply(ctx, who, ref, adminAction{MessageType: partNote, Type: authorAdmin, AdminID: who.admin, Body: n.html})
	p, ok := errors.AsType[*problem](err)
	if !ok || !refusesData(p) && p.status != http.StatusForbidden && p.status != http.StatusNotFound {
		return err
	}
	_, err = d.reply(ctx, who, ref, userReply{
		MessageType: partComment, Type: authorUser, IntercomUserID: contactID, Body: n.plain,
	})
	return err
}

// hasMarker reports whether a piece of the context contains the text.
func hasMarker(c *conversation, text string) bool {
	for i := range c.Parts.Parts {
		if p := &c.Parts.Parts[i]; isContext(p) && strings.Contains(p.Body, text) {
			return true
		}
	}
	return false
}

// isContext reports whether the part is a piece of the context, by a teammate or,
// in its place, the contact.
func isContext(p *part) bool {
	if p.Type != partNote && !p.Author.isContact() {
		return false
	}
	text, _ := clean(p.Body, nil)
	return anyMarker.MatchString(text)
}

// FindOpened looks for the conversation that an earlier attempt has made, and adds
// what it did not come to.
func (d *intercomDesk) FindOpened(ctx context.Context, r desk.OpenRequest) (desk.Opened, bool, error) {
	who, err := d.identify(ctx)
	if err != nil {
		return desk.Opened{}, false, err
	}
	o := newOpening(&r)
	if r.Begun != "" {
		opened, err := d.resume(ctx, who, r.Begun, &o)
		return opened, err == nil, err
	}
	p, err := d.ensureContact(ctx, who, &r)
	if err != nil || p.fresh {
		return desk.Opened{}, false, err
	}
	var list conversationList
	err = d.call(ctx, request{
		base: who.base, method: http.MethodPost, path: "/conversations/search", about: desk.AboutDesk,
		in: search{
			Query: filter{Operator: "AND", Value: []filter{
				{Field: "contact_ids", Operator: "=", Value: p.id},
				{Field: "created_at", Operator: ">", Value: r.At.Add(-clockSkew).Unix() - 1},
			}},
			Pagination: pagination{PerPage: 20},
		},
	}, &list)
	if err == nil && list.Type == "" {
		err = unreadable()
	}
	if err != nil {
		return desk.Opened{}, false, err
	}
	for i := range list.Conversations {
		ref := string(list.Conversations[i].ID)
		c, err := d.read(ctx, who, ref)
		if fault.Is(err, fault.DeskGone) {
			continue
		}
		if err != nil {
			return desk.Opened{}, false, err
		}
		if !mine(&c, &r, &o) {
			continue
		}
		d.contacts.set(ref, p.id)
		if err := d.complete(ctx, who, ref, p.id, &o, &c); err != nil {
			return desk.Opened{Ref: ref}, false, begun(err)
		}
		return desk.Opened{Ref: ref}, true, nil
	}
	return desk.Opened{}, false, nil
}

// mine reports whether the conversation was made for this Handoff. Without the
// marker of any Handoff it is one whose making was cut short, if it asks the same.
func mine(c *conversation, r *desk.OpenRequest, o *opening) bool {
	if hasMarker(c, marker(r.HandoffID)+" (") {
		return true
	}
	return !hasMarker(c, "") && same(c.Source.Body, c.Source.Attachments, &o.said[0])
}

// FindSent looks whether the whole message has arrived.
func (d *intercomDesk) FindSent(ctx context.Context, r desk.SendRequest) (desk.Sent, bool, error) {
	who, err := d.identify(ctx)
	if err != nil {
		return desk.Sent{}, false, err
	}
	c, err := d.read(ctx, who, r.Ref)
	if err != nil {
		return desk.Sent{}, false, err
	}
	pieces := newPieces(&r.Text)
	n, last := arrived(&c, pieces, r.At, byContact)
	if n < len(pieces) {
		return desk.Sent{}, false, nil
	}
	return desk.Sent{ID: last}, true, nil
}

// clockSkew is how far Intercom's clock may be behind ours.
const clockSkew = 5 * time.Second

// byContact reports whether the contact said the part.
func byContact(p *part) bool { return p.Author.isContact() && !isContext(p) }

// arrived counts how many of the pieces, from the first, are the newest that the
// speaker said, none before since. last is the id of the newest of them.
func arrived(c *conversation, pieces []piece, since time.Time, speaker func(*part) bool) (n int, last string) {
	var said []*part
	for i := range c.Parts.Parts {
		p := &c.Parts.Parts[i]
		if speaker(p) && p.CreatedAt >= since.Add(-clockSkew).Unix() {
			said = append(said, p)
		}
	}
	slices.SortStableFunc(said, before)
	for n := min(len(pieces), len(said)); n > 0; n-- {
		tail := said[len(said)-n:]
		if slices.EqualFunc(tail, pieces[:n], func(p *part, q piece) bool { return same(p.Body, p.Attachments, &q) }) {
			return n, string(tail[n-1].ID)
		}
	}
	return 0, ""
}

// same reports whether a body that was read back is the piece. White space and the
// form of the body are Intercom's to change.
func same(body string, files []upload, p *piece) bool {
	cleaned, _ := clean(body, files)
	for _, got := range []string{body, cleaned} { // the User may have written tags
		if words(got) == words(p.plain) || words(got) == words(p.body) && (len(files) > 0 || len(p.images) == 0) {
			return true
		}
	}
	return false
}

func words(s string) string { return strings.Join(strings.Fields(s), " ") }
