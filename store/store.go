// Package store keeps what must outlive a request: small values by key, in
// buckets, on a NATS JetStream engine that runs inside this process.
package store

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

var (
	// ErrNotFound means that no value is kept under the key, or no longer.
	ErrNotFound = errors.New("store: no such key")
	// ErrExists means that a value is kept under the key already.
	ErrExists = errors.New("store: key exists")
	// ErrConflict means that the value is not, or no longer, of the revision expected.
	ErrConflict = errors.New("store: another revision is kept")
	// ErrTooLarge means that a value is over [MaxValue], or a key over 1 KiB.
	ErrTooLarge = errors.New("store: too large")
	// ErrLocked means that another process, or another part of this one, holds the directory.
	ErrLocked = errors.New("held by another gateway")
	// ErrWrongKey means that the directory was written under another key.
	ErrWrongKey = errors.New("written under another root key")
)

const (
	defaultMax   = 4 << 30          // bytes; the engine's own default is three quarters of the disk
	startTimeout = 30 * time.Second // of the engine, and of the first write to a disk that others may keep busy
	checkTimeout = time.Second
	account      = "GW" // values belong to an account from day one: one added later would not find them
)

// Options say where and how a [Store] keeps its values.
type Options struct {
	Dir      string // made when absent; one Store at a time holds it
	Key      []byte // 32 bytes, from which the engine derives its AES keys
	MaxBytes int64  // of all values together; zero: 4 GiB. A full store refuses new values
	Log      *slog.Logger

	conn func(net.Conn) net.Conn // for tests: what the connection to the engine goes through; nil: nothing
}

// An inside is an engine of this process.
type inside struct {
	srv  *server.Server
	wrap func(net.Conn) net.Conn
}

// InProcessConn connects to it.
func (i inside) InProcessConn() (net.Conn, error) {
	c, err := i.srv.InProcessConn()
	if err == nil && i.wrap != nil {
		c = i.wrap(c)
	}
	return c, err
}

// A Store is an open engine. It is safe for concurrent use.
type Store struct {
	dir     string
	log     *slog.Logger
	server  *server.Server
	conn    *nats.Conn
	js      jetstream.JetStream
	release func()

	mu      sync.Mutex
	buckets map[string]*Bucket
	closed  bool
}

// Open starts the engine on o.Dir. A value is on the disk, encrypted and
// flushed, when the call that wrote it returns. Open returns [ErrLocked] when
// the directory is in use, and [ErrWrongKey] when it was written under another key.
func Open(ctx context.Context, o Options) (*Store, error) {
	if len(o.Key) != 32 {
		return nil, fmt.Errorf("open store %s: the key has %d bytes, not 32", o.Dir, len(o.Key))
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultMax
	}
	release, err := LockDir(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{dir: o.Dir, log: o.Log, release: release, buckets: make(map[string]*Bucket)}
	if err := s.start(ctx, o); err != nil {
		s.Close()
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	return s, nil
}

func (s *Store) start(ctx context.Context, o Options) error {
	if err := checkMarker(o.Dir, o.Key); err != nil {
		return err
	}
	gateway, system := server.NewAccount(account), server.NewAccount("SYS")
	user, err := nkeys.CreateUser() // never leaves this process
	if err != nil {
		return fmt.Errorf("make user: %w", err)
	}
	name, err := user.PublicKey()
	if err != nil {
		return fmt.Errorf("make user: %w", err)
	}
	srv, err := server.NewServer(&server.Options{
		ServerName:             "anteroom",
		DontListen:             true,
		JetStream:              true,
		StoreDir:               o.Dir,
		SyncAlways:             true, // the engine's default flushes every two minutes and loses what it acknowledged
		JetStreamKey:           hex.EncodeToString(o.Key),
		JetStreamCipher:        server.AES,
		JetStreamMaxStore:      o.MaxBytes,
		JetStreamMaxMemory:     64 << 20,
		DisableJetStreamBanner: true,
		NoSigs:                 true,
		NoLog:                  true,
		MaxPayload:             maxPayload,
		Accounts:               []*server.Account{gateway, system},
		Nkeys:                  []*server.NkeyUser{{Nkey: name, Account: gateway}},
		SystemAccount:          "SYS",
	})
	if err != nil {
		return fmt.Errorf("set up engine: %w", err)
	}
	s.server = srv
	srv.SetLoggerV2(serverLog{o.Log}, false, false, false)
	srv.Start()
	if !srv.ReadyForConnections(startTimeout) {
		return fmt.Errorf("engine is not ready after %v", startTimeout)
	}
	acc, err := srv.LookupAccount(account)
	if err != nil {
		return fmt.Errorf("find account: %w", err)
	}
	if !acc.JetStreamEnabled() {
		if err := acc.EnableJetStream(nil, nil); err != nil {
			return fmt.Errorf("read values: %w", err)
		}
	}
	s.conn, err = nats.Connect("", nats.InProcessServer(inside{srv, o.conn}), nats.Nkey(name, user.Sign),
		nats.Name("anteroom"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			o.Log.Warn("store connection", "err", err) // without a handler the client writes to stderr
		}))
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if s.js, err = jetstream.New(s.conn); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	return s.check(ctx, startTimeout)
}

var bucketName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)

// Bucket returns the bucket of that name (lower-case letters, digits, - and _),
// made when it is new.
func (s *Store) Bucket(ctx context.Context, name string) (*Bucket, error) {
	if !bucketName.MatchString(name) {
		return nil, fmt.Errorf("open bucket %q: not a bucket's name", name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.buckets[name]; b != nil {
		return b, nil
	}
	stream := "KV_" + name
	_, err := s.js.Stream(ctx, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		// The engine skips what it cannot read, with a warning. An empty
		// bucket in its place would revive nothing and forget everything.
		on := filepath.Join(s.dir, "jetstream", account, "streams", stream)
		if _, serr := os.Stat(on); serr == nil {
			return nil, fmt.Errorf("open bucket %s: %s is on the disk but cannot be read: restore it, or remove it to begin empty", name, on)
		}
	} else if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	kept, err := s.js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name:                   stream,
		Subjects:               []string{"$KV." + name + ".>"},
		Storage:                jetstream.FileStorage,
		MaxMsgsPerSubject:      1,
		AllowRollup:            true,
		DenyDelete:             true,
		AllowDirect:            false, // a direct read may miss what was just acknowledged
		Discard:                jetstream.DiscardNew,
		AllowMsgTTL:            true,
		SubjectDeleteMarkerTTL: markerTTL,
		Replicas:               1,
		MaxMsgs:                -1,
		MaxBytes:               -1,
		MaxConsumers:           -1,
	})
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	kv, err := s.js.KeyValue(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", name, err)
	}
	b := &Bucket{name: name, js: s.js, stream: kept, kv: kv, log: s.log}
	s.buckets[name] = b
	return b, nil
}

// Healthy returns nil when a value can be written to the disk, and read back,
// within a second.
func (s *Store) Healthy(ctx context.Context) error { return s.check(ctx, checkTimeout) }

func (s *Store) check(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	b, err := s.Bucket(ctx, "health")
	if err != nil {
		return err
	}
	want := rand.Text()
	if _, err := b.kv.Put(ctx, "alive", []byte(want)); err != nil {
		return fmt.Errorf("write to store: %w", err)
	}
	if _, err := b.kv.Get(ctx, "alive"); err != nil { // maybe another check's value
		return fmt.Errorf("read from store: %w", err)
	}
	return nil
}

// Close stops the engine and lets the directory go. Watches end. A second
// Close does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	if s.conn != nil {
		s.conn.Close()
	}
	if s.server != nil {
		s.server.Shutdown()
		s.server.WaitForShutdown()
	}
	s.release()
	return nil
}
