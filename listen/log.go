package listen

import (
	"log"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A serverLog takes what net/http has to say. Most of it is noise that any
// scanner can make, so it is debug, and a few lines a second of it.
type serverLog struct {
	log     *slog.Logger
	refused func(string)
	some    rate.Sometimes
	unsaid  atomic.Int64
}

func (l *serverLog) logger() *log.Logger {
	l.some.Interval = 100 * time.Millisecond
	return log.New(l, "", 0)
}

func (l *serverLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	switch {
	case strings.Contains(text, "panic serving"):
		l.log.Error("a handler panicked", "text", text)
		return len(line), nil
	case strings.HasPrefix(text, "http: Accept error"):
		l.log.Warn("connections cannot be accepted", "text", text)
		return len(line), nil
	case strings.HasPrefix(text, "http: TLS handshake error"):
		l.refused("handshake")
	}
	said := false
	l.some.Do(func() {
		said = true
		l.log.Debug("connection", "text", text, "unsaid", l.unsaid.Swap(0))
	})
	if !said {
		l.unsaid.Add(1)
	}
	return len(line), nil
}
