package livechat

import (
	"context"
	"regexp"
	"sync"
)

// botID is the form of a bot's id, which is the same for customers and for agents.
// Customers see such an id of human agents too, but another one than the webhooks tell.
var botID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// maxBots bounds how many bots are remembered by one replica.
const maxBots = 10_000

// bots remembers which agents are bots: read as a customer, a thread does not tell.
type bots struct {
	mu    sync.Mutex
	known map[string]bool
}

func (b *bots) has(id string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[id]
}

func (b *bots) add(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.known == nil || len(b.known) >= maxBots {
		b.known = make(map[string]bool)
	}
	b.known[id] = true
}

func (d *externalDesk) botKey(id string) string { return "bot:" + d.account + ":" + id }

// learnBot remembers the author of a webhook if it is a bot. What cannot be kept is
// learnt at its next message.
func (d *externalDesk) learnBot(ctx context.Context, author string) {
	if !botID.MatchString(author) || d.bots.has(author) {
		return
	}
	_, version, err := d.memory.Get(ctx, d.botKey(author))
	if err == nil && version == 0 {
		_, err = d.memory.Put(ctx, d.botKey(author), []byte("1"), 0)
	}
	if err == nil {
		d.bots.add(author)
	}
}

// isBot reports whether an agent of a thread is known as a bot, by its own mark or by
// what webhooks told.
func (d *externalDesk) isBot(ctx context.Context, u *user) (bool, error) {
	if u.IsBot || d.bots.has(u.ID) {
		return true, nil
	}
	_, version, err := d.memory.Get(ctx, d.botKey(u.ID))
	if err != nil || version == 0 {
		return false, memoryFault(err)
	}
	d.bots.add(u.ID)
	return true, nil
}

// people reads who the human agents of a chat are, by the ids that customers see.
func (d *externalDesk) people(ctx context.Context, c *chat) (map[string]string, error) {
	names := map[string]string{}
	for i := range c.Users {
		u := &c.Users[i]
		if u.Type != userAgent {
			continue
		}
		bot, err := d.isBot(ctx, u)
		if err != nil {
			return nil, err
		}
		if !bot {
			names[u.ID] = u.Name
		}
	}
	return names, nil
}
