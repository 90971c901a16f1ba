package model

// Connection is a page of a list in the form that Relay defined
// (https://relay.dev/graphql/connections.htm). Its fields are views of the items,
// so a page costs nothing twice.
type Connection[T any] struct {
	Items   []T
	Cursors []string // one per item
	HasNext bool
}

// Edge is an item of a page with its cursor.
type Edge[T any] struct {
	Cursor string
	Node   *T
}

// The lists of the API.
type (
	AgentConnection        = Connection[Agent]
	AgentEdge              = Edge[Agent]
	ConversationConnection = Connection[Conversation]
	ConversationEdge       = Edge[Conversation]
	HandoffConnection      = Connection[Handoff]
	HandoffEdge            = Edge[Handoff]
	DeliveryConnection     = Connection[Delivery]
	DeliveryEdge           = Edge[Delivery]
)

// Nodes are the items.
func (c *Connection[T]) Nodes() []T { return c.Items }

// Edges are the items with their cursors.
func (c *Connection[T]) Edges() []Edge[T] {
	edges := make([]Edge[T], len(c.Items))
	for i := range c.Items {
		edges[i] = Edge[T]{Cursor: c.Cursors[i], Node: &c.Items[i]}
	}
	return edges
}

// PageInfo says where the page ends.
func (c *Connection[T]) PageInfo() *PageInfo {
	info := &PageInfo{HasNextPage: c.HasNext}
	if n := len(c.Cursors); n > 0 {
		info.EndCursor = &c.Cursors[n-1]
	}
	return info
}
