package gateway

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/anteroom/anteroom/access"
	"github.com/anteroom/anteroom/config"
)

// watch reloads the configuration when its file, or one it names, changes, and
// on SIGHUP; until ctx ends. Directories are watched, since editors and
// orchestrators put a new file in the old one's place.
func (g *running) watch(ctx context.Context) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		g.log.Warn("changes of the configuration are not noticed: send SIGHUP", "error", err)
		watcher = &fsnotify.Watcher{}
	} else {
		defer watcher.Close()
	}
	seen := g.fingerprint()
	g.watchDirs(watcher)
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			seen = g.fingerprint() // before, so that a change meanwhile is seen as one
			g.reload()
			g.watchDirs(watcher)
		case <-watcher.Events:
			settled = time.After(settle)
		case err := <-watcher.Errors:
			g.log.Warn("watch the configuration", "error", err)
		case <-settled:
			settled = nil
			if now := g.fingerprint(); now != seen {
				seen = now
				g.reload()
				g.watchDirs(watcher)
			}
		}
	}
}

// settle is how long a burst of changes may go on: several files are seldom
// written at once.
const settle = 150 * time.Millisecond

func (g *running) files() []string {
	return append([]string{g.file}, g.loaded.load().Config.Files...)
}

// fingerprint is what the files of the configuration hold.
func (g *running) fingerprint() [sha256.Size]byte {
	h := sha256.New()
	for _, f := range g.files() {
		content, err := os.ReadFile(f)
		sum := sha256.Sum256(content)
		fmt.Fprintf(h, "%s %v %x\n", f, err == nil, sum)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func (g *running) watchDirs(w *fsnotify.Watcher) {
	if w.Events == nil {
		return
	}
	have := w.WatchList()
	for _, f := range g.files() {
		dir := filepath.Dir(f)
		if slices.Contains(have, dir) {
			continue
		}
		if err := w.Add(dir); err != nil {
			g.log.Warn("changes are not noticed: send SIGHUP", "directory", dir, "error", err)
		}
		have = append(have, dir)
	}
}

// reload puts the file as it now is in force, or refuses it and goes on as
// before. A request sees the old or the new configuration, never some of both.
func (g *running) reload() {
	next, err := Load(g.file)
	if err == nil {
		err = g.adopt(next)
	}
	g.telemetry.Reloaded(err == nil)
	if err != nil {
		g.log.Error("the new configuration is refused; the old one stays in force", "error", err)
		if m, ok := err.(config.Mistakes); ok {
			for _, m := range m {
				g.log.Error(m.Message, "at", fmt.Sprintf("%s:%d:%d", m.File, m.Line, m.Column))
			}
		}
		if err := g.note(access.EventConfig, "refused", ""); err != nil {
			g.log.Error("record a refused configuration", "error", err)
		}
		return
	}
	for _, w := range next.Warnings {
		g.log.Warn(w.Message, "at", fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column))
	}
	g.log.Info("the new configuration is in force", "routes", len(next.Config.Routes))
}

// adopt makes next the configuration in force. What only a restart can change
// stays as it was, and is said.
func (g *running) adopt(next *Loaded) error {
	old := g.loaded.load()
	was, is := old.Config.Gateway, &next.Config.Gateway
	for _, fixed := range []struct {
		key     string
		differs bool
	}{
		{"gateway.url", was.URL.String() != is.URL.String()},
		{"gateway.listen", was.Listen != is.Listen},
		{"gateway.redirect_listen", was.RedirectListen != is.RedirectListen},
		{"gateway.admin_listen", was.AdminListen != is.AdminListen},
		{"gateway.data_dir", was.DataDir != is.DataDir},
		{"gateway.help", was.Help != is.Help},
		{"tls", !reflect.DeepEqual(old.Config.TLS, next.Config.TLS)},
		{"posture.sources.listen", !slices.Equal(senderListeners(old.Config), senderListeners(next.Config))},
		{"audit.retain", old.Config.Audit.Retain != next.Config.Audit.Retain},
		{"audit (feeds, copy and patient_system)", !sameFeeds(old.Config.Audit, next.Config.Audit)},
		{"limits (of connections, and held requests)", fixedLimits(old.Config.Limits) != fixedLimits(next.Config.Limits)},
		{"telemetry", old.Config.Telemetry != next.Config.Telemetry},
	} {
		if fixed.differs {
			g.log.Warn("this change needs a restart", "key", fixed.key)
		}
	}
	is.URL, is.DataDir = was.URL, was.DataDir
	before := g.state.load()
	s, err := next.state(before)
	if err != nil {
		return err
	}
	if err := g.note(access.EventConfig, "loaded", ""); err != nil {
		return fmt.Errorf("record the new configuration: %w", err)
	}
	g.known.store(g.providers(next, g.known.load()))
	g.loaded.store(next)
	g.state.store(s)
	g.proxy.Use(s)
	if err := g.server.SetHosts(next.hosts()); err != nil {
		g.log.Error("a new host has no certificate", "error", err)
	}
	before.Backends.CloseIdle(s.Backends)
	g.endStrays(context.Background())
	return nil
}
