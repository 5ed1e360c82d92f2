package cdp

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/durable"
)

// start takes up a point: first with the copy from before, then with what is there now.
func (c *Checker) start(p *point) {
	p.busy.Lock()
	if f, err := os.Open(c.copyOf(p)); c.Folder != "" && err == nil {
		if list, set, err := c.read(f, p); err == nil {
			p.list = list
			p.set.Store(set)
		}
		f.Close()
	}
	news := p.list != nil
	p.busy.Unlock()
	if news {
		c.tell()
	}
	c.refresh(context.Background(), p)
}

func (c *Checker) tell() {
	if c.Changed != nil {
		c.Changed()
	}
}

// Run fetches lists anew when they are due, until ctx ends.
func (c *Checker) Run(ctx context.Context) {
	tick := time.NewTicker(min(max(c.Refresh/10, 100*time.Millisecond), 10*time.Second))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, p := range c.due(c.Now()) {
				go c.refresh(ctx, p)
			}
		}
	}
}

// due returns the points to fetch now, and forgets those that nobody names any more.
func (c *Checker) due(now time.Time) []*point {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*point
	for url, points := range c.points {
		kept := points[:0]
		for _, p := range points {
			if now.Sub(time.Unix(p.used.Load(), 0)) > forgetTime {
				c.count--
				continue
			}
			kept = append(kept, p)
			if at := p.due.Load(); !p.denied && at != 0 && now.Unix() >= at {
				out = append(out, p)
			}
		}
		if c.points[url] = kept; len(kept) == 0 {
			delete(c.points, url)
		}
	}
	return out
}

// refresh fetches a list, unless somebody does already, and says when to do it again.
func (c *Checker) refresh(ctx context.Context, p *point) {
	if !p.busy.TryLock() {
		return
	}
	defer p.busy.Unlock()
	if c.turns.Acquire(ctx, 1) != nil {
		return
	}
	defer c.turns.Release(1)
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	replaced, err := c.fetch(ctx, p)
	result := map[bool]string{true: "replaced", false: "same"}[replaced]
	pause := c.Refresh
	if p.failures++; err != nil {
		result = "failed"
		pause = min(firstRetry<<min(p.failures-1, 10), c.Refresh)
		c.Logger.Warn("fetching a CRL distribution point failed; the list from before stays", "url", cut(p.url), "error", err)
	} else {
		p.failures = 0
	}
	if p.list != nil && err == nil && !p.list.NextUpdate().IsZero() {
		pause = min(pause, max(p.list.NextUpdate().Sub(c.Now()), firstRetry))
	}
	pause += time.Duration((rand.Float64() - 0.5) * 0.3 * float64(pause))
	p.due.Store(max(c.Now().Add(pause).Unix(), c.Now().Unix()+1))
	if c.Count != nil {
		c.Count(result)
	}
	if replaced {
		c.tell()
	}
}

// fetch brings the list of a point up to date.
func (c *Checker) fetch(ctx context.Context, p *point) (replaced bool, err error) {
	body, err := c.get(ctx, p.url)
	if err != nil {
		return false, err
	}
	defer body.Close()
	var list *crl.List
	var set *crl.Set
	take := func(r io.Reader) (err error) {
		if list, set, err = c.read(r, p); err != nil {
			return err
		}
		if p.list != nil && older(list, p.list) {
			return fmt.Errorf("the list there is older than the one that is known, of %s", p.list.ThisUpdate().Format(time.RFC3339))
		}
		return nil
	}
	if c.Folder == "" {
		err = take(body)
	} else {
		err = durable.Write(c.copyOf(p), func(w io.Writer) error { return take(io.TeeReader(body, w)) })
	}
	if err != nil {
		return false, err
	}
	replaced = p.list == nil || !same(list, p.list)
	p.list = list
	p.set.Store(set)
	return replaced, nil
}

// get sends the request. The body ends with an error if it is too large.
func (c *Checker) get(ctx context.Context, url string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("the answer is %s", resp.Status)
	}
	return &bounded{resp.Body, c.MaxSize}, nil
}

// bounded ends with an error after so many bytes.
type bounded struct {
	io.ReadCloser
	left int64
}

var errTooLarge = errors.New("the list is larger than max_size")

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return 0, errTooLarge
	}
	return n, err
}

// read parses a list and checks that the point's CA signed it.
func (c *Checker) read(r io.Reader, p *point) (*crl.List, *crl.Set, error) {
	list, err := crl.Read(r)
	if err != nil {
		return nil, nil, err
	}
	set, err := crl.NewSet([]crl.Source{{Name: p.url, List: list}}, []*x509.Certificate{p.issuer})
	return list, set, err
}

// copyOf is the file that keeps the last good list of a point.
func (c *Checker) copyOf(p *point) string {
	sum := sha256.New()
	for _, part := range [][]byte{[]byte(p.url), p.issuer.RawSubject, p.issuer.RawSubjectPublicKeyInfo} {
		fmt.Fprintf(sum, "%d:", len(part))
		sum.Write(part)
	}
	return filepath.Join(c.Folder, hex.EncodeToString(sum.Sum(nil)[:20])+".crl")
}
