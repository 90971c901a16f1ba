package livechat

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"handoff/internal/desk"
	"handoff/internal/fault"
)

const (
	// maxIdentities bounds the customers that one User can be at a time: so many
	// sessions can be open at once.
	maxIdentities = 8
	// claimTime is how long an opening keeps an identity before it has a thread. It is
	// longer than any attempt.
	claimTime = 2 * time.Minute
	// maxChanges bounds the tries to write a record that others write as well.
	maxChanges = 10
)

// identity is one customer of LiveChat and what it is used for. The cookies are the
// customer's credentials: without them its chat cannot be reached again.
type identity struct {
	EntityID  string    `json:"entity,omitempty"` // the id of the customer; "" = not made yet
	CustomerC string    `json:"cid,omitempty"`    // the cookie __lc_cid
	SecretC   string    `json:"cst,omitempty"`    // the cookie __lc_cst
	Token     string    `json:"token,omitempty"`
	RefreshAt time.Time `json:"refresh,omitzero"`
	// RenewingUntil keeps others from asking for a token while one does.
	RenewingUntil time.Time `json:"renewing,omitzero"`

	Chat   string `json:"chat,omitempty"`   // the customer's only chat; "" = none known
	Thread string `json:"thread,omitempty"` // of the session that uses it; "" = none yet

	Holder    string    `json:"holder,omitempty"` // the Handoff that uses it; "" = free
	ClaimedAt time.Time `json:"claimed,omitzero"`
	Once      bool      `json:"once,omitempty"` // of a stranger: nobody comes back to it
}

// record is an identity with its place in the memory.
type record struct {
	key     string
	version int64
	identity
}

// accountOf names the account that a connection is of. It is part of every key: the
// memory outlives a change of the fields.
func accountOf(fields ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(fields, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// identityKey names the n-th identity of the User of a request, from 1. Somebody
// of whom nothing is known is a stranger every time.
func (d *externalDesk) identityKey(r *desk.OpenRequest, n int) (key string, once bool) {
	who := "id\x00" + r.User.ID
	switch {
	case r.User.ID != "":
	case r.User.AnonymousID != "":
		who = "anonymous\x00" + r.User.AnonymousID
	default:
		who, once = "handoff\x00"+r.HandoffID, true
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{r.AgentID, string(r.Channel), who}, "\x00")))
	return fmt.Sprintf("customer:%s:%s:%d", d.account, hex.EncodeToString(sum[:]), n), once
}

// chatKey names what leads from a chat to its customer.
func (d *externalDesk) chatKey(chatID string) string { return "chat:" + d.account + ":" + chatID }

func (d *externalDesk) load(ctx context.Context, key string) (*record, error) {
	value, version, err := d.memory.Get(ctx, key)
	if err != nil {
		return nil, memoryFault(err)
	}
	r := &record{key: key, version: version}
	if version > 0 && json.Unmarshal(value, &r.identity) != nil {
		return nil, fault.New(fault.Internal, "what is remembered of a LiveChat customer cannot be read")
	}
	return r, nil
}

// save writes the record if nobody else has meanwhile, else [desk.ErrMemoryChanged].
func (d *externalDesk) save(ctx context.Context, r *record) error {
	value, err := encode(r.identity)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "internal error")
	}
	version, err := d.memory.Put(ctx, r.key, value, r.version)
	if err != nil {
		return memoryFault(err)
	}
	r.version = version
	return nil
}

// memoryFault classifies an error of the memory; desk.ErrMemoryChanged stays its cause.
func memoryFault(err error) error {
	if err == nil {
		return nil
	}
	return fault.As(err)
}

// change applies a change to the newest state of a record and writes it, again and
// again while others write as well. It reports false, without writing, when the
// change does not want to be made any more.
func (d *externalDesk) change(ctx context.Context, r *record, apply func(*identity) bool) (bool, error) {
	for range maxChanges {
		if !apply(&r.identity) {
			return false, nil
		}
		err := d.save(ctx, r)
		if !errors.Is(err, desk.ErrMemoryChanged) {
			return err == nil, err
		}
		newest, err := d.load(ctx, r.key)
		if err != nil {
			return false, err
		}
		*r = *newest
	}
	return false, fault.New(fault.Overloaded, "a LiveChat customer is used by too many requests at once")
}

// claim finds an identity of the User that no open session uses, or a new one, and
// reserves it for the Handoff. A customer has one chat, so two sessions of the same
// User at a time are two customers: nothing that is said in one can reach the other.
func (d *externalDesk) claim(ctx context.Context, r *desk.OpenRequest) (*record, error) {
	for n := 1; n <= maxIdentities; n++ {
		key, once := d.identityKey(r, n)
		found, err := d.load(ctx, key)
		if err != nil {
			return nil, err
		}
		var noAnswer error
		claimed, err := d.change(ctx, found, func(i *identity) bool {
			var used bool
			if used, noAnswer = d.inUse(ctx, &record{key: key, version: found.version, identity: *i}, r.HandoffID); used || noAnswer != nil {
				return false
			}
			i.Holder, i.ClaimedAt, i.Thread, i.Once = r.HandoffID, d.now(), "", once
			return true
		})
		if err == nil {
			err = noAnswer
		}
		if err != nil || claimed {
			return found, err
		}
	}
	return nil, &fault.Fault{
		Kind: fault.DeskRejected, Sent: fault.NotSent,
		Public: fmt.Sprintf("the user already has %d open sessions in LiveChat", maxIdentities),
	}
}

// inUse reports whether a session other than the one that is being opened uses the
// identity. Of a session that has a thread LiveChat is asked: its end may not have
// reached us.
func (d *externalDesk) inUse(ctx context.Context, r *record, handoffID string) (bool, error) {
	switch {
	case r.Holder == "":
		return false, nil
	case r.Thread == "":
		return r.Holder != handoffID && d.now().Sub(r.ClaimedAt) < claimTime, nil
	}
	last, err := d.lastChat(ctx, r)
	if err != nil {
		return false, err
	}
	return last.Active && last.ID == r.Chat && last.LastThreadID == r.Thread, nil
}

// attach notes which thread the identity is used in, and how its chat leads to it.
func (d *externalDesk) attach(ctx context.Context, r *record, handoffID, chatID, threadID string) error {
	_, version, err := d.memory.Get(ctx, d.chatKey(chatID))
	if err == nil {
		// Written although it mostly says the same: what was written long ago is forgotten first.
		_, err = d.memory.Put(ctx, d.chatKey(chatID), []byte(r.key), version)
	}
	if err != nil {
		return memoryFault(err)
	}
	attached, err := d.change(ctx, r, func(i *identity) bool {
		if i.Holder != handoffID {
			return false
		}
		i.Chat, i.Thread = chatID, threadID
		return true
	})
	if err == nil && !attached {
		// The opening took longer than its claim.
		err = fault.New(fault.DeskUnavailable, "another session took over while this one was opened")
	}
	return err
}

// release frees the identity after the end of a thread, "" = of an opening that
// came to nothing. A stranger's is forgotten.
func (d *externalDesk) release(ctx context.Context, r *record, handoffID, threadID string) error {
	if !r.Once {
		_, err := d.change(ctx, r, func(i *identity) bool {
			if i.Thread != threadID || i.Holder != handoffID {
				return false
			}
			i.Holder, i.Thread = "", ""
			return true
		})
		return err
	}
	for _, key := range []string{d.chatKey(r.Chat), r.key} {
		_, version, err := d.memory.Get(ctx, key)
		if err == nil && version > 0 {
			_, err = d.memory.Put(ctx, key, nil, version)
		}
		if err != nil && !errors.Is(err, desk.ErrMemoryChanged) {
			return memoryFault(err)
		}
	}
	return nil
}

// forgetStranger forgets the stranger whose session the desk has ended: we are not
// asked to close it any more.
func (d *externalDesk) forgetStranger(ctx context.Context, ref string) {
	if customer, err := d.session(ctx, ref); err == nil && customer.Once {
		_ = d.release(ctx, customer, customer.Holder, customer.Thread) // a record that stays harms nobody
	}
}

// session finds the customer of an open session. A session whose thread is not the
// one that the customer's chat is used in is gone: what is sent to a chat arrives in
// its newest thread, which then is another session's.
func (d *externalDesk) session(ctx context.Context, ref string) (*record, error) {
	chatID, threadID, ok := splitRef(ref)
	if !ok {
		return nil, gone()
	}
	key, version, err := d.memory.Get(ctx, d.chatKey(chatID))
	if err != nil {
		return nil, memoryFault(err)
	}
	if version == 0 {
		return nil, gone()
	}
	r, err := d.load(ctx, string(key))
	if err == nil && (r.Chat != chatID || r.Thread != threadID) {
		err = gone()
	}
	return r, err
}
