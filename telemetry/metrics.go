package telemetry

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/anteroom/anteroom/access"
)

// Metrics are the gateway's numbers. Labels hold names of the configuration
// and fixed words; never a person, a patient or a URL.
type Metrics struct {
	registry *prometheus.Registry

	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	backend  *prometheus.HistogramVec
	observed *prometheus.CounterVec
	routes   sync.Map // name -> *Route

	reloadOK   prometheus.Gauge
	reloads    prometheus.Counter
	streams    prometheus.Gauge
	auditFails prometheus.Counter
	dropped    prometheus.Counter
	feedUp     *prometheus.GaugeVec
	feedWaits  *prometheus.GaugeVec
	feedLag    *prometheus.GaugeVec
	feedSent   *prometheus.CounterVec
	feedMissed *prometheus.CounterVec
	security   *prometheus.CounterVec
	refused    *prometheus.CounterVec
	limited    *prometheus.CounterVec
	signIns    *prometheus.CounterVec
	providers  *prometheus.GaugeVec
	notIssued  *prometheus.CounterVec

	sessions atomic.Pointer[func() int]
	held     atomic.Pointer[func() int]
	ending   atomic.Pointer[func() int]
	expiries expiries
	keySince atomic.Int64 // Unix seconds
}

// latencies reach from a cached answer to a backend's time limit, in seconds.
var latencies = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}

func newMetrics(lost func() int64) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anteroom_requests_total",
			Help: "Requests answered, by route, verdict, reason and class of status."}, []string{"route", "verdict", "reason", "status_class"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "anteroom_request_seconds",
			Help: "Time from a request's arrival to the end of its answer.", Buckets: latencies}, []string{"route"}),
		backend: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "anteroom_backend_seconds",
			Help: "Time from sending a request to the backend to the first byte of its answer.", Buckets: latencies}, []string{"route"}),
		observed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anteroom_observed_total",
			Help: "What rules under observe would have decided."}, []string{"route", "rule", "verdict"}),
		reloadOK: prometheus.NewGauge(prometheus.GaugeOpts{Name: "anteroom_config_reload_success",
			Help: "1 when the newest configuration is in force, 0 when it was refused."}),
		reloads: prometheus.NewCounter(prometheus.CounterOpts{Name: "anteroom_config_reloads_total",
			Help: "Configurations read after the first, taken or refused."}),
		streams: prometheus.NewGauge(prometheus.GaugeOpts{Name: "anteroom_open_streams",
			Help: "WebSockets and event streams that are open."}),
		auditFails: prometheus.NewCounter(prometheus.CounterOpts{Name: "anteroom_audit_failures_total",
			Help: "Audit records that could not be written."}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{Name: "anteroom_headers_dropped_total",
			Help: "Request headers taken out because of their name."}),
		security: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anteroom_security_events_total",
			Help: "Security records, by reason."}, []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anteroom_connections_refused_total",
			Help: "Connections refused before a request, by limit."}, []string{"reason"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anteroom_limited_total",
			Help: "Times that a limit was reached, by its name."}, []string{"limit"}),
		signIns: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anteroom_signins_total",
			Help: "Sign-ins that came back from a provider, by outcome."}, []string{"outcome"}),
		providers: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "anteroom_provider_up",
			Help: "1 when the provider answered last time, else 0."}, []string{"provider"}),
		notIssued: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anteroom_certificate_failures_total",
			Help: "Certificates that the ACME authority was asked for and did not issue, by host."}, []string{"host"}),
		feedUp: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "anteroom_audit_feed_up",
			Help: "1 when records of the trail reached the feed last time, else 0."}, []string{"feed"}),
		feedWaits: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "anteroom_audit_feed_waiting_records",
			Help: "Records of the trail that the feed has still to send."}, []string{"feed"}),
		feedLag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "anteroom_audit_feed_lag_seconds",
			Help: "Age of the oldest record that a failing feed has still to send; 0 while it sends."}, []string{"feed"}),
		feedSent: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anteroom_audit_feed_sent_total",
			Help: "Records of the trail that were sent, again ones too."}, []string{"feed"}),
		feedMissed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anteroom_audit_feed_missed_total",
			Help: "Records of the trail that were gone before the feed could send them."}, []string{"feed"}),
		expiries: expiries{at: map[string]time.Time{}},
	}
	m.reloadOK.Set(1)
	m.registry.MustRegister(m.requests, m.latency, m.backend, m.observed, m.reloadOK, m.reloads, m.streams, m.auditFails,
		m.dropped, m.security, m.refused, m.limited, m.signIns, m.providers, m.notIssued, &m.expiries,
		m.feedUp, m.feedWaits, m.feedLag, m.feedSent, m.feedMissed,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "anteroom_sessions", Help: "Sessions that have not ended."}, func() float64 { return number(&m.sessions) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "anteroom_held_requests", Help: "Requests kept while their person proves themselves."}, func() float64 { return number(&m.held) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "anteroom_devices_blocked_soon", Help: "Devices that will be refused within 24 hours, unless they meet their checks."}, func() float64 { return number(&m.ending) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "anteroom_telemetry_dropped_total", Help: "Spans that did not reach the collector."}, func() float64 { return float64(lost()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "anteroom_assertion_key_age_seconds", Help: "How long the key that signs assertions has been doing so."}, func() float64 {
			return time.Since(time.Unix(m.keySince.Load(), 0)).Seconds()
		}),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func number(f *atomic.Pointer[func() int]) float64 {
	if f := f.Load(); f != nil {
		return float64((*f)())
	}
	return 0
}

// MetricsHandler serves the numbers to Prometheus; to one that asks for
// OpenMetrics, with the traces that stand for them.
func (m *Metrics) MetricsHandler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

// CountSessions makes count the source of the number of sessions. It is asked
// at each scrape, from any goroutine.
func (m *Metrics) CountSessions(count func() int) { m.sessions.Store(&count) }

// CountHeld makes count the source of the number of held requests. It is asked
// at each scrape, from any goroutine.
func (m *Metrics) CountHeld(count func() int) { m.held.Store(&count) }

// CountEndingGrace makes count the source of the number of devices whose time of
// grace ends within a day. It is asked at each scrape, from any goroutine.
func (m *Metrics) CountEndingGrace(count func() int) { m.ending.Store(&count) }

// Reloaded counts a configuration that was read again, taken or refused.
func (m *Metrics) Reloaded(taken bool) {
	m.reloads.Inc()
	m.reloadOK.Set(zeroOne(taken))
}

// StreamOpened counts a WebSocket or event stream in.
func (m *Metrics) StreamOpened() { m.streams.Inc() }

// StreamClosed counts out what StreamOpened counted in.
func (m *Metrics) StreamClosed() { m.streams.Dec() }

// AuditFailed counts a record that could not be written.
func (m *Metrics) AuditFailed() { m.auditFails.Inc() }

// HeadersDropped counts n headers taken out of a request.
func (m *Metrics) HeadersDropped(n int) {
	if n > 0 {
		m.dropped.Add(float64(n))
	}
}

// SecurityEvent counts a security record. reason must be a fixed word.
func (m *Metrics) SecurityEvent(reason access.Reason) {
	m.security.WithLabelValues(string(reason)).Inc()
}

// ConnectionRefused counts a connection that came to no request: one over a
// limit, or whose handshake failed. why must be a fixed word.
func (m *Metrics) ConnectionRefused(why string) { m.refused.WithLabelValues(why).Inc() }

// Limited counts a limit that was reached. limit must be a fixed word.
func (m *Metrics) Limited(limit string) { m.limited.WithLabelValues(limit).Inc() }

// SignedIn counts a sign-in that came back. outcome must be a fixed word.
func (m *Metrics) SignedIn(outcome access.Reason) { m.signIns.WithLabelValues(string(outcome)).Inc() }

// ProviderGone forgets the provider of this name.
func (m *Metrics) ProviderGone(name string) { m.providers.DeleteLabelValues(name) }

// FeedState says whether records of the trail reach the feed of this name, how
// many wait, and how old the first of them is.
func (m *Metrics) FeedState(feed string, up bool, waiting uint64, lag time.Duration) {
	m.feedUp.WithLabelValues(feed).Set(zeroOne(up))
	m.feedWaits.WithLabelValues(feed).Set(float64(waiting))
	m.feedLag.WithLabelValues(feed).Set(max(0, lag.Seconds()))
}

// FeedSent counts records that the feed sent.
func (m *Metrics) FeedSent(feed string, records int) {
	m.feedSent.WithLabelValues(feed).Add(float64(records))
}

// FeedMissed counts records that were gone before the feed could send them.
func (m *Metrics) FeedMissed(feed string, records uint64) {
	m.feedMissed.WithLabelValues(feed).Add(float64(records))
}

// ProviderUp says whether the provider of this name answered last time.
func (m *Metrics) ProviderUp(name string, up bool) {
	m.providers.WithLabelValues(name).Set(zeroOne(up))
}

// NotIssued counts a certificate that the authority did not issue, for a
// configured host.
func (m *Metrics) NotIssued(host string) { m.notIssued.WithLabelValues(host).Inc() }

// AssertionKeySince says from when on the key signs that now does.
func (m *Metrics) AssertionKeySince(t time.Time) { m.keySince.Store(t.Unix()) }

// CertificateExpires says when the certificate for a configured host ends.
func (m *Metrics) CertificateExpires(host string, at time.Time) {
	m.expiries.mu.Lock()
	defer m.expiries.mu.Unlock()
	m.expiries.at[host] = at
}

func zeroOne(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// expiries collects the time that is left of each certificate, as of the scrape.
type expiries struct {
	mu sync.Mutex
	at map[string]time.Time
}

var expiry = prometheus.NewDesc("anteroom_certificate_expiry_seconds", "Seconds until the certificate expires; negative when it has.", []string{"host"}, nil)

func (*expiries) Describe(to chan<- *prometheus.Desc) { to <- expiry }

func (e *expiries) Collect(to chan<- prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for host, at := range e.at {
		to <- prometheus.MustNewConstMetric(expiry, prometheus.GaugeValue, time.Until(at).Seconds(), host)
	}
}
