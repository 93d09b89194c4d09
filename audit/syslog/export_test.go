package syslog

// Ended reports whether the other side's end has been seen.
func (s *Sender) Ended() bool { return len(s.ended) > 0 }
