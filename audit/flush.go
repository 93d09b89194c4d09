package audit

// A flush asks that a segment be brought to the disk up to a mark, and says
// who waits for it.
type flush struct {
	segment *segment
	to      mark
	waiting []*pending
	barrier chan error // not nil: answered when this and all before are done
}

// A flusher calls fsync beside the writer, so that records which need not wait
// for the disk do not wait for those that do.
type flusher struct {
	jobs chan flush
	done chan struct{} // closed when the flusher has ended
	poke chan struct{} // told after each flush
}

func newFlusher() *flusher {
	return &flusher{jobs: make(chan flush, 64), done: make(chan struct{}), poke: make(chan struct{}, 1)}
}

// run serves jobs until they are closed. Jobs that queued up behind an fsync
// share the next one.
func (f *flusher) run(failed func(error)) {
	defer close(f.done)
	for job := range f.jobs {
		group := []flush{job}
		for more := true; more; {
			select {
			case next, ok := <-f.jobs:
				if more = ok; ok {
					group = append(group, next)
				}
			default:
				more = false
			}
		}
		for len(group) > 0 {
			n := 1
			for n < len(group) && group[n].segment == group[0].segment {
				n++
			}
			f.serve(group[:n], failed)
			group = group[n:]
		}
	}
}

// serve brings one segment to the disk and answers all who wait for it.
func (f *flusher) serve(group []flush, failed func(error)) {
	last := group[len(group)-1]
	err := last.segment.flush(last.to)
	if err != nil {
		failed(err)
	}
	for _, job := range group {
		for _, p := range job.waiting {
			p.done <- err
		}
		if job.barrier != nil {
			job.barrier <- err
		}
	}
	select {
	case f.poke <- struct{}{}:
	default:
	}
}
