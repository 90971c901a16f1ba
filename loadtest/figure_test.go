package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFigure(t *testing.T) {
	t.Parallel()
	smallest := &figure{Ours: []float64{2, 1, 30}, Floor: []float64{1}}
	for _, tt := range []struct {
		name    string
		figure  figure
		ratio   float64
		growth  float64
		verdict string
	}{
		{"no goal", figure{Ours: []float64{3}, Floor: []float64{2}}, 1.5, 0, ""},
		{"no floor", figure{Ours: []float64{3}, Goal: &goal{Limit: 3, Of: ofValue}}, 0, 0, "met"},
		{"ratio met", figure{Ours: []float64{3}, Floor: []float64{2}, Goal: &goal{Limit: 1.5, Of: ofRatio}}, 1.5, 0, "met"},
		{"ratio missed", figure{Ours: []float64{3.1}, Floor: []float64{2}, Goal: &goal{Limit: 1.5, Of: ofRatio}}, 1.55, 0, "missed"},
		{"rate met", figure{Ours: []float64{6}, Floor: []float64{10}, Goal: &goal{Limit: 0.6, AtLeast: true, Of: ofRatio}}, 0.6, 0, "met"},
		{"rate missed", figure{Ours: []float64{5}, Floor: []float64{10}, Goal: &goal{Limit: 0.6, AtLeast: true, Of: ofRatio}}, 0.5, 0, "missed"},
		{"grew a little", figure{Ours: []float64{2.2}, Floor: []float64{1}, Goal: &goal{Limit: 1.2, Of: ofGrowth}, smallest: smallest}, 2.2, 1.1, "met"},
		{"grew too much", figure{Ours: []float64{3}, Floor: []float64{1}, Goal: &goal{Limit: 1.2, Of: ofGrowth}, smallest: smallest}, 3, 1.5, "missed"},
		{"the rate fell", figure{Ours: []float64{1}, Floor: []float64{1}, Goal: &goal{Limit: 1.2, AtLeast: true, Of: ofGrowth}, smallest: smallest}, 1, 2, "missed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.InDelta(t, tt.ratio, tt.figure.ratio(), 1e-9)
			require.InDelta(t, tt.growth, tt.figure.growth(), 1e-9)
			require.Equal(t, tt.verdict, tt.figure.verdict())
		})
	}
}

func TestReplaceSection(t *testing.T) {
	t.Parallel()
	text := "before\n<!-- figures: a -->\nold\n<!-- /figures: a -->\n<!-- figures: b -->\nkept\n<!-- /figures: b -->\n"
	updated, err := replaceSection(text, "a", "new\n")
	require.NoError(t, err)
	require.Equal(t, "before\n<!-- figures: a -->\nnew\n<!-- /figures: a -->\n<!-- figures: b -->\nkept\n<!-- /figures: b -->\n", updated)
	_, err = replaceSection(text, "c", "new\n")
	require.Error(t, err)
}

func TestThousands(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{1: "1", 999: "999", 1_000: "1,000", 10_000: "10,000", 1_000_000: "1,000,000"} {
		require.Equal(t, want, thousands(n))
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	o, err := parse([]string{"-quick", "-db", "sqlite", "-scenario", "webhook,start"}, t.Output())
	require.NoError(t, err)
	require.Equal(t, []string{sqlite}, o.databases)
	require.Equal(t, []string{"webhook", "start"}, o.scenarios)
	require.Equal(t, 1, o.plan.runs)
	for _, wrong := range [][]string{{"-db", "mysql"}, {"-scenario", "webhook,nothing"}, {"webhook"}} {
		_, err := parse(wrong, t.Output())
		require.Error(t, err, wrong)
	}
}
