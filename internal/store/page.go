package store

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"handoff/internal/fault"
	"handoff/internal/handoff"
)

// position is where an item stands in a list that is sorted by time and id. Lists
// that are sorted by id alone leave the time zero.
type position struct {
	at time.Time
	id string
}

// maxCursor bounds what is decoded; ids have at most 64 characters.
const maxCursor = 128

// cursor is the opaque form of a position. list keeps the cursors of different
// lists apart.
func (p position) cursor(list string) string {
	micros := int64(0)
	if !p.at.IsZero() {
		micros = p.at.UnixMicro()
	}
	return base64.RawURLEncoding.EncodeToString([]byte(list + " " + strconv.FormatInt(micros, 36) + " " + p.id))
}

func parseCursor(list, cursor string) (position, error) {
	refused := fault.Invalid("after", "is not a cursor of this list")
	if len(cursor) > maxCursor {
		return position{}, refused
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(cursor)
	if err != nil {
		return position{}, refused
	}
	parts := strings.Split(string(text), " ")
	if len(parts) != 3 || parts[0] != list || parts[2] == "" || storableText("after", parts[2]) != nil {
		return position{}, refused
	}
	micros, err := strconv.ParseInt(parts[1], 36, 64)
	if err != nil || strconv.FormatInt(micros, 36) != parts[1] {
		return position{}, refused
	}
	return position{at: time.UnixMicro(micros).UTC(), id: parts[2]}, nil
}

// order says how a list is sorted and continued.
type order struct {
	list        string // name in the cursors
	time        string // column of the time; "" = sorted by id alone
	oldestFirst bool
}

// apply sorts the query, cuts it to one more than the page, and continues after the cursor.
func (o order) apply(q *gorm.DB, p handoff.Page) (*gorm.DB, error) {
	if p.First < 1 || p.First > handoff.MaxPageSize {
		return nil, fault.Invalid("first", "is %d, must be from 1 to %d", p.First, handoff.MaxPageSize)
	}
	direction, than := " DESC", "<"
	if o.oldestFirst {
		direction, than = "", ">"
	}
	if p.After != "" {
		after, err := parseCursor(o.list, p.After)
		if err != nil {
			return nil, err
		}
		if o.time == "" {
			q = q.Where("id "+than+" ?", after.id)
		} else {
			q = q.Where("("+o.time+", id) "+than+" (?, ?)", instant(after.at), after.id)
		}
	}
	if o.time != "" {
		q = q.Order(o.time + direction)
	}
	return q.Order("id" + direction).Limit(p.First + 1), nil
}

// pageOf makes a page of rows that were read with apply.
func pageOf[Row, Item any](o order, p handoff.Page, rows []Row, item func(*Row) (Item, error), at func(*Row) position) (handoff.List[Item], error) {
	var list handoff.List[Item]
	if len(rows) > p.First {
		list.HasNext = true
		rows = rows[:p.First]
	}
	for i := range rows {
		x, err := item(&rows[i])
		if err != nil {
			return handoff.List[Item]{}, err
		}
		list.Items = append(list.Items, x)
		list.Cursors = append(list.Cursors, at(&rows[i]).cursor(o.list))
	}
	return list, nil
}

// damaged is what a row is that cannot be read back.
func damaged(err error, what string) error {
	return fault.Wrap(fault.Internal, err, "the stored %s cannot be read", what)
}
