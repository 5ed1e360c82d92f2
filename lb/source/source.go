// Package source keeps local copies of files that come from elsewhere: https://
// and s3:// addresses of trust store bundles and revocation lists.
//
// A [Source] is one address. [Source.Fetch] asks for what is there now, checks it,
// and keeps it as the newest copy; [Source.Run] does so again and again. Nothing but
// a whole answer that passes Config.Check ever takes the place of a copy.
//
// Copies are kept in a [Folder], two at most: the newest, and the one that was last
// in force, which [Folder.Accept] notes. They differ while the newest copy does
// not fit with the rest of the config, as a bundle without the CA that signed a
// revocation list; a restart then has a set to fall back on that once worked together.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// A Config says where a source is and how it is asked.
type Config struct {
	URL string // https:// or s3://BUCKET/KEY

	// Version pins one version of an S3 object, which never changes.
	Version        string
	Region         string // of the bucket; empty: as the AWS environment has it
	Endpoint       string // of an S3-compatible server; empty: AWS
	ForcePathStyle bool   // the bucket stands in the path, not in the host name

	CACertificate     string // file of the only CAs to believe; empty: the system's
	ClientCertificate string // file; empty: none
	ClientKey         string

	PollInterval time.Duration
	Timeout      time.Duration // of one attempt, from the dial to the last byte
	MaxSize      int64

	// Check says what is wrong with a file that was fetched, before anything
	// relies on it.
	Check func(file string) error
}

// A Status is how a source does.
type Status struct {
	Name        string
	LastAttempt time.Time
	LastSuccess time.Time // in this process or one before it
	Failures    int       // in a row
	Err         error     // of the last attempt
	Version     string    // of the newest copy: an S3 version id or an ETag
	// Waiting says that the newest copy is not in force: it does not fit with the
	// rest of the config.
	Waiting bool
}

// A Source is one address. It is safe for concurrent use.
type Source struct {
	config Config
	folder *Folder

	fetching sync.Mutex

	mu     sync.Mutex
	status Status
	retry  time.Duration // what the server asked for
}

// A remote asks a server for a file.
type remote interface {
	// get writes to w what is there, or returns errNotModified if it is what known says.
	get(ctx context.Context, known *Copy, w io.Writer) (*Copy, error)
}

// errNotModified says that the copy is what the server has.
var errNotModified = errors.New("not modified")

// An answerError is an answer other than the file.
type answerError struct {
	problem string
	retry   time.Duration
}

func (e *answerError) Error() string { return e.problem }

// New returns a source whose copies are in folder. Nothing is asked yet, but the
// files that cfg names must be good.
func New(cfg Config, folder *Folder) (*Source, error) {
	if _, err := connect(cfg); err != nil {
		return nil, err
	}
	s := &Source{config: cfg, folder: folder}
	s.status.Name = cfg.Name()
	if newest := folder.Newest(); newest != nil {
		s.status.LastSuccess = newest.CheckedAt
	}
	return s, nil
}

// connect makes what asks the server. It is made for each attempt, so that renewed
// certificates and credentials are used.
func connect(cfg Config) (remote, error) {
	client, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.isS3() {
		return &s3Remote{config: cfg, client: client}, nil
	}
	return &httpsRemote{url: cfg.URL, client: client, limit: cfg.MaxSize}, nil
}

// Folder returns where the copies are.
func (s *Source) Folder() *Folder { return s.folder }

// Name returns what the source is called in messages.
func (s *Source) Name() string { return s.status.Name }

// Pinned reports whether the source can never change.
func (s *Source) Pinned() bool { return s.config.Version != "" }

// Status returns how the source does.
func (s *Source) Status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.status
	if newest := s.folder.Newest(); newest != nil {
		out.Version = newest.Version()
	}
	out.Waiting = s.folder.Waiting()
	return out
}

// Fetch asks for the file, within limit and the timeout of the source. It reports
// whether there is a new copy. If it fails, the copies stay as they are.
func (s *Source) Fetch(ctx context.Context, limit time.Duration) (changed bool, err error) {
	s.fetching.Lock()
	defer s.fetching.Unlock()
	if s.Pinned() && s.folder.Newest() != nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, min(limit, s.config.Timeout))
	defer cancel()
	changed, err = s.folder.replaceNewest(s.config.Check, func(known *Copy, w io.Writer) (*Copy, error) {
		server, err := connect(s.config)
		if err != nil {
			return nil, err
		}
		c, err := server.get(ctx, known, w)
		// A server that sees the connection end may end its answer in good order, so that a
		// part looks whole.
		if ctx.Err() != nil {
			return nil, fmt.Errorf("no whole answer within %v: %w", min(limit, s.config.Timeout), errors.Join(ctx.Err(), err))
		}
		return c, err
	})
	if err != nil {
		err = fmt.Errorf("%s: %w", s.Name(), err)
	}
	s.note(err)
	return changed, err
}

func (s *Source) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status.LastAttempt, s.status.Err, s.retry = time.Now(), err, 0
	if err == nil {
		s.status.LastSuccess, s.status.Failures = s.status.LastAttempt, 0
		return
	}
	s.status.Failures++
	if answer, ok := errors.AsType[*answerError](err); ok {
		s.retry = answer.retry
	}
}

// Limits of the time between two attempts.
const (
	minRetry      = time.Second
	maxRetry      = time.Hour
	maxRetryAfter = time.Hour
	// jitter is the part of the interval by which it may be longer or shorter, so that
	// a fleet does not ask all at once.
	jitter = 0.15
)

// wait returns the time until the next attempt: after a failure a quarter of the
// interval, then twice as long each time, up to four intervals.
func (s *Source) wait() time.Duration {
	s.mu.Lock()
	failures, retry := s.status.Failures, s.retry
	s.mu.Unlock()
	interval := s.config.PollInterval
	if failures > 0 {
		backoff := interval / 4 << min(failures-1, 4)
		interval = max(minRetry, min(backoff, max(maxRetry, s.config.PollInterval)), min(retry, maxRetryAfter))
	}
	return time.Duration(float64(interval) * (1 - jitter + 2*jitter*rand.Float64()))
}

// Run asks again and again until ctx ends. It tells of each new copy and of each
// failure. A pinned source with a copy is not asked.
func (s *Source) Run(ctx context.Context, changed func(), failed func(error)) {
	for !s.Pinned() || s.folder.Newest() == nil {
		timer := time.NewTimer(s.wait())
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		isNew, err := s.Fetch(ctx, s.config.Timeout)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failed(err)
		case isNew:
			changed()
		}
	}
}

// limited refuses to write more than left bytes.
type limited struct {
	w     io.Writer
	left  int64
	limit int64
}

func (l *limited) Write(p []byte) (int, error) {
	if int64(len(p)) > l.left {
		return 0, tooLarge(l.limit)
	}
	l.left -= int64(len(p))
	return l.w.Write(p)
}

func tooLarge(limit int64) error {
	return fmt.Errorf("the answer has more than %d bytes: raise max_size if it is meant", limit)
}

// readSmall reads a file of at most maxSmallFile bytes.
func readSmall(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSmallFile))
}

const maxSmallFile = 1 << 20
