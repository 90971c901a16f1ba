package handoff

import (
	"strings"
	"time"
	"unicode"
)

// What is different in DESK_TO_DESK, where the User writes in the desk's own
// messenger: what the Agent says goes to the desk as a SAY, what the User and the
// Operators say is there already.

// noteAuthor keeps in mind whether the User of a desk's messenger waits for an answer.
func (t *turn) noteAuthor(author Author) {
	if !t.conv.InMessenger() {
		return
	}
	switch author {
	case AuthorUser:
		if t.conv.UnansweredSince.IsZero() {
			t.conv.UnansweredSince = t.now
		}
	case AuthorAgent, AuthorOperator:
		t.conv.UnansweredSince = time.Time{}
	case AuthorSystem: // answers nobody
	}
}

// speak has the newest event said in the desk's messenger, if the User is in one.
func (t *turn) speak() {
	if !t.conv.InMessenger() {
		return
	}
	newest := len(t.change.Events) - 1
	t.enqueue(Delivery{
		Kind: DeliverSay, ConnectionID: t.conv.ConnectionID, HandoffID: t.change.Events[newest].HandoffID,
	}, newest)
}

// seenNatively reports whether the notice tells what the User of a desk's messenger
// sees there without us: a human begins to write, or takes leave.
func (n Notice) seenNatively() bool { return n == NoticeConnected || n == NoticeEndedByOperator }

// userWrote applies a message that the User wrote in the desk's messenger.
func (t *turn) userWrote(m *DeskEvent, key string) error {
	t.conv.User = t.conv.User.completedBy(m.User)
	if t.conv.Language == "" {
		t.conv.Language = knownLanguage(m.Language)
	}
	t.addFromDesk(m, Event{Author: AuthorUser, Key: key})
	if t.handoff == nil {
		return nil
	}
	return t.apply(UserWrote) // delivers nothing: the desk has the message
}

// completedBy fills in what is unknown of a User from what the desk tells. What has
// not the form that callers of the API must keep is cut to it or left out: the
// User's message must not fail for it.
func (u User) completedBy(told User) User {
	for _, f := range []struct {
		is    *string
		told  string
		limit int
	}{
		{&u.ID, told.ID, MaxIdentityRunes},
		{&u.AnonymousID, told.AnonymousID, MaxIdentityRunes},
		{&u.Name, told.Name, MaxIdentityRunes},
		{&u.Phone, told.Phone, MaxPhoneRunes},
	} {
		if *f.is == "" {
			*f.is = oneLine(f.told, f.limit)
		}
	}
	if u.Email == "" && told.Email != "" {
		if address, err := ParseEmail("email", told.Email); err == nil {
			u.Email = address
		}
	}
	return u
}

// oneLine makes a text a line of at most limit characters.
func oneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.TrimSpace(SplitText(strings.TrimSpace(s), limit)[0])
}

// knownLanguage is the canonical form of a tag, "" where it is none.
func knownLanguage(tag string) string {
	known, err := validLanguage("language", tag)
	if err != nil {
		return ""
	}
	return known
}
