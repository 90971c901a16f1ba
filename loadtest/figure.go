package main

import (
	"fmt"
	"slices"
)

// figure is one number about the service, beside the same about the floor.
type figure struct {
	Scenario string    `json:"scenario"`
	Database string    `json:"database"`
	Case     string    `json:"case"`
	Metric   string    `json:"metric"`
	Unit     string    `json:"unit"`
	Ours     []float64 `json:"ours"`            // of every run
	Floor    []float64 `json:"floor,omitempty"` // of every run; none where there is no floor
	Goal     *goal     `json:"goal,omitempty"`

	smallest *figure // the same figure with the least history and load; growth only
}

// goal is what a figure should reach.
type goal struct {
	Number  int     `json:"number"` // in the list of goals
	Limit   float64 `json:"limit"`
	AtLeast bool    `json:"atLeast"` // else at most
	Of      subject `json:"of"`
}

// subject is what a goal limits.
type subject string

const (
	ofRatio  subject = "ratio"  // ours to the floor
	ofValue  subject = "value"  // ours
	ofGrowth subject = "growth" // the ratio to the floor, beside that of the smallest case
)

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// ratio is ours to the floor; 0 = there is no floor.
func (f *figure) ratio() float64 {
	if floor := median(f.Floor); floor > 0 {
		return median(f.Ours) / floor
	}
	return 0
}

// growth is how much worse the ratio is than in the smallest case; 0 = this has none.
func (f *figure) growth() float64 {
	if f.smallest == nil || f.smallest.ratio() == 0 {
		return 0
	}
	if f.Goal != nil && f.Goal.AtLeast {
		return f.smallest.ratio() / f.ratio()
	}
	return f.ratio() / f.smallest.ratio()
}

func (f *figure) subject() float64 {
	switch f.Goal.Of {
	case ofRatio:
		return f.ratio()
	case ofGrowth:
		return f.growth()
	default:
		return median(f.Ours)
	}
}

// verdict says whether the goal was reached; "" = there is none.
func (f *figure) verdict() string {
	if f.Goal == nil {
		return ""
	}
	met := f.subject() <= f.Goal.Limit
	if f.Goal.AtLeast && f.Goal.Of != ofGrowth {
		met = f.subject() >= f.Goal.Limit
	}
	if met {
		return "met"
	}
	return "missed"
}

func (g *goal) String() string {
	if g == nil {
		return ""
	}
	sign, unit := "≤", ""
	if g.AtLeast && g.Of != ofGrowth {
		sign = "≥"
	}
	switch g.Of {
	case ofRatio:
		unit = " × floor"
	case ofGrowth:
		unit = " × smallest"
	case ofValue:
	}
	return fmt.Sprintf("%d: %s %s%s", g.Number, sign, number(g.Limit), unit)
}

// number writes three digits that count.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
