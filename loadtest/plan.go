package main

import "time"

// plan is how much is measured.
type plan struct {
	runs   int           // of each figure; the median counts
	warmUp time.Duration // before each run, at its load

	webhookConversations int
	webhookRates         []pace

	messageConversations int
	messageRate          pace

	throughput    []int // conversations
	throughputFor time.Duration

	sockets []int
	settle  time.Duration // from the last socket to the look at the memory

	stored           []int // messages in the database
	open             []int // conversations
	growthWebhook    pace
	growthMessage    pace
	growthThroughput time.Duration

	starts int
	idle   time.Duration // from the start to the look at the memory
}

// pace is a steady load.
type pace struct {
	perSecond float64
	during    time.Duration
}

// full is what docs/performance.md reports.
var full = plan{
	runs:                 3,
	warmUp:               2 * time.Second,
	webhookConversations: 2_000,
	webhookRates:         []pace{{1, 15 * time.Second}, {50, 10 * time.Second}, {500, 15 * time.Second}},
	messageConversations: 500,
	messageRate:          pace{100, 15 * time.Second},
	throughput:           []int{1, 16, 64},
	throughputFor:        6 * time.Second,
	sockets:              []int{1_000, 5_000},
	settle:               10 * time.Second,
	stored:               []int{10_000, 1_000_000},
	open:                 []int{10, 10_000},
	growthWebhook:        pace{500, 8 * time.Second},
	growthMessage:        pace{100, 8 * time.Second},
	growthThroughput:     5 * time.Second,
	starts:               5,
	idle:                 5 * time.Second,
}

// small goes through everything once. It shows that all arrives; its times show
// nothing.
var small = plan{
	runs:                 1,
	warmUp:               500 * time.Millisecond,
	webhookConversations: 100,
	webhookRates:         []pace{{5, 2 * time.Second}, {50, 2 * time.Second}, {500, 2 * time.Second}},
	messageConversations: 50,
	messageRate:          pace{100, 2 * time.Second},
	throughput:           []int{1, 16, 64},
	throughputFor:        time.Second,
	sockets:              []int{200},
	settle:               time.Second,
	stored:               []int{2_000, 20_000},
	open:                 []int{10, 100},
	growthWebhook:        pace{200, time.Second},
	growthMessage:        pace{50, time.Second},
	growthThroughput:     time.Second,
	starts:               2,
	idle:                 time.Second,
}
