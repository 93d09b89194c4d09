package store

import (
	"context"
	"fmt"
	"log/slog"
)

// serverLog hands the engine's log on: what is routine at debug, the rest at warn.
type serverLog struct{ log *slog.Logger }

func (l serverLog) say(level slog.Level, format string, v []any) {
	l.log.Log(context.Background(), level, "store engine", "text", fmt.Sprintf(format, v...))
}

func (l serverLog) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v) }
func (l serverLog) Debugf(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }
func (l serverLog) Tracef(format string, v ...any)  { l.say(slog.LevelDebug, format, v) }
func (l serverLog) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l serverLog) Errorf(format string, v ...any)  { l.say(slog.LevelWarn, format, v) }

// Fatalf does not end the process: Open or Healthy find out.
func (l serverLog) Fatalf(format string, v ...any) { l.say(slog.LevelError, format, v) }
