// Package metrics is what operators of the service watch, in the Prometheus text
// format at /metrics. Every other room gets plain functions or a small interface
// of its own; only this package knows Prometheus.
package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"handoff/internal/handoff"
)

// Metrics holds every instrument.
type Metrics struct {
	registry *prometheus.Registry

	httpRequests    *prometheus.CounterVec
	httpDuration    *prometheus.HistogramVec
	graphqlErrors   *prometheus.CounterVec
	handoffRequests *prometheus.CounterVec
	handoffsClosed  *prometheus.CounterVec
	messages        *prometheus.CounterVec
	deliveries      *prometheus.CounterVec
	deliveryWait    *prometheus.HistogramVec
	deskCalls       *prometheus.HistogramVec
	deadlineLate    prometheus.Histogram
	relayLatency    prometheus.Histogram
	replays         prometheus.Counter
	subscriptions   prometheus.Gauge
	websockets      prometheus.Gauge
}

var fast = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}

// New makes the instruments, among them those of the Go runtime and the process.
func New(version string) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		httpRequests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "handoff_http_requests_total", Help: "HTTP requests by route, method and status.",
		}, []string{"route", "method", "status"}),
		httpDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "handoff_http_request_seconds", Help: "Duration of HTTP requests by route; streams are left out.", Buckets: fast,
		}, []string{"route"}),
		graphqlErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "handoff_graphql_errors_total", Help: "Errors in GraphQL answers by extensions.code.",
		}, []string{"code"}),
		handoffRequests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "handoff_requests_total", Help: "Requests for a human by desk (empty = none was chosen) and outcome.",
		}, []string{"desk", "outcome"}),
		handoffsClosed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "handoff_closed_total", Help: "Handoffs that ended by desk and reason.",
		}, []string{"desk", "reason"}),
		messages: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "handoff_messages_total", Help: "Accepted messages by author.",
		}, []string{"author"}),
		deliveries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "handoff_delivery_attempts_total", Help: "Attempts to deliver to a desk by desk, kind and result: ok, retry, refused, dead, dropped.",
		}, []string{"desk", "kind", "result"}),
		deliveryWait: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "handoff_delivery_seconds", Help: "Time from a delivery being queued to the desk's answer, for results ok.", Buckets: fast,
		}, []string{"desk", "kind"}),
		deskCalls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "handoff_desk_call_seconds", Help: "Calls to desks by desk, operation and result (ok, or the error code).", Buckets: fast,
		}, []string{"desk", "operation", "result"}),
		deadlineLate: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "handoff_deadline_late_seconds", Help: "How long after its time a deadline fired.", Buckets: fast,
		}),
		relayLatency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "handoff_relay_seconds", Help: "Time from accepting an event to handing it to a subscriber.", Buckets: fast,
		}),
		replays: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "handoff_stream_replays_total", Help: "How often a subscriber was served from the log instead of live.",
		}),
		subscriptions: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "handoff_subscriptions", Help: "Open subscriptions.",
		}),
		websockets: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "handoff_websockets", Help: "Open websockets.",
		}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "handoff_build_info", Help: "Always 1; the version is a label.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build,
		m.httpRequests, m.httpDuration, m.graphqlErrors, m.handoffRequests, m.handoffsClosed, m.messages,
		m.deliveries, m.deliveryWait, m.deskCalls, m.deadlineLate, m.relayLatency, m.replays, m.subscriptions, m.websockets,
	)
	return m
}

// Handler serves the text format.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// WatchHandoffs adds the number of open handoffs by state, counted when it is asked for.
func (m *Metrics) WatchHandoffs(count func(context.Context) (map[handoff.State]int64, error)) {
	m.registry.MustRegister(&openHandoffs{
		count: count,
		desc:  prometheus.NewDesc("handoff_open", "Open handoffs by state.", []string{"state"}, nil),
	})
}

type openHandoffs struct {
	count func(context.Context) (map[handoff.State]int64, error)
	desc  *prometheus.Desc
}

func (o *openHandoffs) Describe(c chan<- *prometheus.Desc) { c <- o.desc }

// countTimeout keeps a slow database from holding the scrape.
const countTimeout = 5 * time.Second

func (o *openHandoffs) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	counts, err := o.count(ctx)
	if err != nil {
		c <- prometheus.NewInvalidMetric(o.desc, err)
		return
	}
	for _, state := range handoff.States {
		if state != handoff.StateClosed {
			c <- prometheus.MustNewConstMetric(o.desc, prometheus.GaugeValue, float64(counts[state]), string(state))
		}
	}
}

// HTTPRequest counts a finished request.
func (m *Metrics) HTTPRequest(route, method string, status int, took time.Duration, stream bool) {
	m.httpRequests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	if !stream {
		m.httpDuration.WithLabelValues(route).Observe(took.Seconds())
	}
}

// GraphQLError counts an error in an answer.
func (m *Metrics) GraphQLError(code string) { m.graphqlErrors.WithLabelValues(code).Inc() }

// HandoffRequested implements handoff.Counters.
func (m *Metrics) HandoffRequested(deskKind string, outcome handoff.Outcome) {
	m.handoffRequests.WithLabelValues(deskKind, string(outcome)).Inc()
}

// HandoffClosed implements handoff.Counters.
func (m *Metrics) HandoffClosed(deskKind string, reason handoff.CloseReason) {
	m.handoffsClosed.WithLabelValues(deskKind, string(reason)).Inc()
}

// MessageAccepted implements handoff.Counters.
func (m *Metrics) MessageAccepted(author handoff.Author) {
	m.messages.WithLabelValues(string(author)).Inc()
}

// Delivered implements relay.Observer.
func (m *Metrics) Delivered(deskKind string, kind handoff.DeliveryKind, result string, waited time.Duration) {
	m.deliveries.WithLabelValues(deskKind, string(kind), result).Inc()
	if result == "ok" {
		m.deliveryWait.WithLabelValues(deskKind, string(kind)).Observe(waited.Seconds())
	}
}

// DeadlineFired implements relay.Observer.
func (m *Metrics) DeadlineFired(late time.Duration) { m.deadlineLate.Observe(late.Seconds()) }

// DeskCall counts a call to a desk.
func (m *Metrics) DeskCall(kind, operation, result string, took time.Duration) {
	m.deskCalls.WithLabelValues(kind, operation, result).Observe(took.Seconds())
}

// Relayed observes how long an event took to reach a subscriber.
func (m *Metrics) Relayed(took time.Duration) { m.relayLatency.Observe(took.Seconds()) }

// Replayed counts a subscriber served from the log.
func (m *Metrics) Replayed() { m.replays.Inc() }

// Subscriptions adds to the number of open subscriptions.
func (m *Metrics) Subscriptions(delta int) { m.subscriptions.Add(float64(delta)) }

// Websockets adds to the number of open websockets.
func (m *Metrics) Websockets(delta int) { m.websockets.Add(float64(delta)) }
