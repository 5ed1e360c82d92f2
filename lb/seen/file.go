package seen

import (
	"bufio"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"os"
	"time"

	"github.com/postern-lb/postern/internal/durable"
	"github.com/postern-lb/postern/internal/yield"
	"github.com/postern-lb/postern/trust"
)

// FileName is the name of the file in the state directory.
const FileName = "seen-clients.json"

const (
	fileVersion = 1
	// maxFile bounds what is read back, in bytes: a client takes some 700.
	maxFile = 1 << 30
	// maxPath bounds the CAs of a client: those that it may send, and the bundle's.
	maxPath = trust.LargestMaxDepth + 1
)

// The file. Names are as in Postern's other JSON; bytes are base64.
type fileForm struct {
	Version     int               `json:"version"`
	Authorities map[string][]byte `json:"authorities"` // DER by SHA-256 of it
	Clients     []clientForm      `json:"clients"`
}

type clientForm struct {
	Listener   string    `json:"listener"`
	TrustStore string    `json:"trust_store"`
	SHA256     string    `json:"sha256"`
	Subject    []byte    `json:"subject_der"`
	Issuer     string    `json:"issuer"`
	Serial     string    `json:"serial_number"`
	NotBefore  time.Time `json:"not_before"`
	NotAfter   time.Time `json:"not_after"`
	Points     []byte    `json:"crl_distribution_points,omitempty"`
	Presented  int       `json:"certificates_sent"`
	Filters    string    `json:"identity_filters_digest"`
	Path       []caForm  `json:"path"`
	FirstSeen  time.Time `json:"first_seen"`
	LastSeen   time.Time `json:"last_seen"`
}

type caForm struct {
	Authority string `json:"authority"`
	Sent      bool   `json:"sent,omitempty"`
}

// Changed reports whether the file is not up to date, and whether it lacks clients rather
// than when they were seen last.
func (s *Store) Changed() (changed, added bool) { return s.changed.Load(), s.added.Load() }

// Save writes the clients to a file that its owner alone can read. With nobody to be kept,
// a limit of 0, it removes the file.
func (s *Store) Save(path string) error {
	s.changed.Store(false)
	s.added.Store(false)
	var err error
	if s.limit.Load() == 0 {
		if err = os.Remove(path); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	} else {
		err = durable.Write(path, s.write)
	}
	if err != nil {
		s.changed.Store(true)
	}
	return err
}

// yieldEvery is how many clients are written between offers of the processor to others:
// some 0.2 ms.
const yieldEvery = 32

// write writes the clients one by one, so that neither memory nor the processor has to do
// with all of them at once.
func (s *Store) write(w io.Writer) error {
	var turn yield.Turn
	defer turn.Close()
	clients := s.Clients()
	authorities := make(map[string][]byte)
	for i := range clients {
		for _, ca := range clients[i].Path {
			authorities[fingerprint(ca.Cert)] = ca.Cert.Raw
		}
	}
	head, err := json.Marshal(authorities)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, `{"version":%d,"authorities":%s,"clients":[`, fileVersion, head)
	for i := range clients {
		if i%yieldEvery == 0 {
			turn.Yield()
		}
		line, err := json.Marshal(clients[i].form())
		if err != nil {
			return err
		}
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteByte('\n')
		out.Write(line)
	}
	out.WriteString("]}\n")
	return out.Flush()
}

func (c *Client) form() *clientForm {
	out := &clientForm{
		Listener: c.Listener, TrustStore: c.TrustStore, SHA256: hex.EncodeToString(c.SHA256[:]), Subject: c.Subject,
		Issuer: c.Issuer, Serial: c.Serial.Text(16), NotBefore: c.NotBefore.UTC(), NotAfter: c.NotAfter.UTC(), Points: c.Points,
		Presented: c.Presented, Filters: hex.EncodeToString(c.Filters[:]), FirstSeen: c.FirstSeen.UTC(), LastSeen: c.LastSeen.UTC(),
	}
	for _, ca := range c.Path {
		out.Path = append(out.Path, caForm{fingerprint(ca.Cert), ca.Sent})
	}
	return out
}

func fingerprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	return hex.EncodeToString(sum[:])
}

// Load adds the clients of a file to those that are kept, within the bounds at the time
// now. A file that is not there adds none. Of a file that cannot be used the error tells,
// and none are added; a client in it that cannot be is left out.
func (s *Store) Load(path string, now time.Time) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	form, err := read(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.addAll(form)
	s.Forget(now)
	return nil
}

func (s *Store) addAll(form *fileForm) {
	authorities := make(map[string]*x509.Certificate)
	for name, der := range form.Authorities {
		if cert, err := x509.ParseCertificate(der); err == nil && name == fingerprint(cert) {
			authorities[name] = cert
		}
	}
	for _, in := range form.Clients {
		if c := in.client(authorities); c != nil {
			s.add(c)
		}
	}
}

func read(r io.Reader) (*fileForm, error) {
	var form fileForm
	if err := json.NewDecoder(io.LimitReader(r, maxFile)).Decode(&form); err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	if form.Version != fileVersion {
		return nil, fmt.Errorf("has version %d, and only %d is known here", form.Version, fileVersion)
	}
	return &form, nil
}

// add keeps a client unless a newer note of it is kept already.
func (s *Store) add(c *Client) {
	k := key{c.Listener, c.SHA256}
	shard := s.shard(k)
	if !s.share(&c.Footprint) {
		return
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if known := shard.clients[k]; known != nil {
		known.FirstSeen = earlier(known.FirstSeen, c.FirstSeen)
		return
	}
	if limit := s.perShard(); limit > 0 {
		shard.put(k, c, limit)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// client returns nil of what no acceptance could have left.
func (in *clientForm) client(authorities map[string]*x509.Certificate) *Client {
	c := &Client{Listener: in.Listener, TrustStore: in.TrustStore, FirstSeen: in.FirstSeen, LastSeen: in.LastSeen}
	c.Subject, c.Issuer, c.NotBefore, c.NotAfter, c.Points, c.Presented =
		in.Subject, in.Issuer, in.NotBefore, in.NotAfter, in.Points, in.Presented
	for _, t := range []time.Time{c.FirstSeen, c.LastSeen, c.NotBefore, c.NotAfter} {
		if t.UTC().Year() < 1 || t.UTC().Year() > 9999 {
			return nil // which JSON could not hold in UTC
		}
	}
	var ok bool
	if c.Serial, ok = new(big.Int).SetString(in.Serial, 16); !ok || in.Presented < 1 || len(in.Path) > maxPath {
		return nil
	}
	if !digest(&c.SHA256, in.SHA256) || !digest(&c.Filters, in.Filters) {
		return nil
	}
	for _, ca := range in.Path {
		cert := authorities[ca.Authority]
		if cert == nil {
			return nil
		}
		c.Path = append(c.Path, trust.FootprintCA{Cert: cert, Sent: ca.Sent})
	}
	return c
}

func digest(out *[sha256.Size]byte, text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == len(out) && copy(out[:], raw) == len(out)
}
