package testschema

import (
	"context"
	"errors"
	"sync"

	"github.com/99designs/gqlgen/graphql"
)

// Root is the root of all resolvers. A test publishes through [Root.Publish]
// and [Root.Finish] or through the mutations of the same names.
type Root struct {
	// Fail reports an error to the client of a running subscription; it is a
	// field because the function lives in the package under test.
	Fail func(ctx context.Context, err error)

	// Subscribed, when set, is told of every subscription that started and
	// Unsubscribed of every one whose context ended.
	Subscribed, Unsubscribed func(ctx context.Context, topic string)

	mu     sync.Mutex
	topics map[string]map[*feed]struct{}
}

type feed struct {
	ctx   context.Context
	ticks chan *Tick
	n     int
}

// New makes the executable schema over the root.
func New(r *Root) graphql.ExecutableSchema {
	return NewExecutableSchema(Config{Resolvers: r})
}

// Publish hands one tick to every subscriber of the topic, waiting for each
// until it takes the tick or its context ends. It returns how many took it.
func (r *Root) Publish(topic, text string) int {
	taken := 0
	for _, f := range r.feeds(topic, false) {
		f.n++
		select {
		case f.ticks <- &Tick{N: f.n, Text: text}:
			taken++
		case <-f.ctx.Done():
		}
	}
	return taken
}

// Finish closes every stream of the topic, after reporting err if there is one.
func (r *Root) Finish(topic string, err error) int {
	feeds := r.feeds(topic, true)
	for _, f := range feeds {
		if err != nil {
			r.Fail(f.ctx, err)
		}
		close(f.ticks)
	}
	return len(feeds)
}

// Len is the number of running subscriptions of the topic.
func (r *Root) Len(topic string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.topics[topic])
}

func (r *Root) feeds(topic string, remove bool) []*feed {
	r.mu.Lock()
	defer r.mu.Unlock()
	var feeds []*feed
	for f := range r.topics[topic] {
		feeds = append(feeds, f)
	}
	if remove {
		delete(r.topics, topic)
	}
	return feeds
}

func (r *Root) join(ctx context.Context, topic string) *feed {
	f := &feed{ctx: ctx, ticks: make(chan *Tick)}
	r.mu.Lock()
	if r.topics == nil {
		r.topics = map[string]map[*feed]struct{}{}
	}
	if r.topics[topic] == nil {
		r.topics[topic] = map[*feed]struct{}{}
	}
	r.topics[topic][f] = struct{}{}
	r.mu.Unlock()
	context.AfterFunc(ctx, func() {
		r.mu.Lock()
		delete(r.topics[topic], f)
		r.mu.Unlock()
		if r.Unsubscribed != nil {
			r.Unsubscribed(ctx, topic)
		}
	})
	if r.Subscribed != nil {
		r.Subscribed(ctx, topic)
	}
	return f
}

type (
	queryResolver        struct{ *Root }
	mutationResolver     struct{ *Root }
	subscriptionResolver struct{ *Root }
	nodeResolver         struct{}
	tickResolver         struct{}
)

// Query resolves the queries.
func (r *Root) Query() QueryResolver { return queryResolver{r} }

// Mutation resolves the mutations.
func (r *Root) Mutation() MutationResolver { return mutationResolver{r} }

// Subscription resolves the subscriptions.
func (r *Root) Subscription() SubscriptionResolver { return subscriptionResolver{r} }

// Node resolves the fields of Node.
func (r *Root) Node() NodeResolver { return nodeResolver{} }

// Tick resolves the fields of Tick.
func (r *Root) Tick() TickResolver { return tickResolver{} }

func (queryResolver) Hello(_ context.Context, name *string) (*string, error) {
	greeting := "hello"
	if name != nil {
		greeting += " " + *name
	}
	return &greeting, nil
}

func (queryResolver) Fail(context.Context) (*string, error) {
	return nil, errors.New("it failed")
}

func (queryResolver) Boom(context.Context) (*string, error) { panic("query") }

func (queryResolver) Wait(ctx context.Context) (*string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func (queryResolver) Node(context.Context) (*Node, error) { return &Node{Name: "root"}, nil }

func (nodeResolver) Child(_ context.Context, parent *Node) (*Node, error) {
	return &Node{Name: parent.Name + "'s child"}, nil
}

func (r mutationResolver) Publish(_ context.Context, topic, text string) (int, error) {
	return r.Root.Publish(topic, text), nil
}

func (r mutationResolver) Finish(_ context.Context, topic string, reason *string) (int, error) {
	var err error
	if reason != nil {
		err = errors.New(*reason)
	}
	return r.Root.Finish(topic, err), nil
}

func (r subscriptionResolver) Ticks(ctx context.Context, topic string) (<-chan *Tick, error) {
	return r.join(ctx, topic).ticks, nil
}

func (subscriptionResolver) Refused(context.Context) (<-chan *Tick, error) {
	return nil, errors.New("no ticks for you")
}

func (subscriptionResolver) Boom(context.Context) (<-chan *Tick, error) { panic("subscription") }

func (tickResolver) Boom(context.Context, *Tick) (*string, error) { panic("tick") }
