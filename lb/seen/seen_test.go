package seen_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb/seen"
	"github.com/postern-lb/postern/trust"
)

const month = 30 * 24 * time.Hour

func newTrust(t testing.TB, cas ...*x509.Certificate) *trust.Store {
	t.Helper()
	b, err := trust.ParseBundle(pki.PEM(cas...), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	s := trust.NewStore("partners", trust.Options{})
	s.Publish(b, nil, "1")
	return s
}

// arrive lets a client in at a time and notes it.
func arrive(t testing.TB, s *trust.Store, r *seen.Recorder, who *pki.Entity, at time.Time) {
	t.Helper()
	v := s.Verify(who.Chain(), nil, at)
	if !v.Accepted {
		t.Fatal(v.Detail)
	}
	r.Accepted(v, who.Chain(), at)
}

func TestStore(t *testing.T) {
	root := pki.NewRoot("root")
	sub := root.Intermediate("sub")
	partners := newTrust(t, root.Cert)
	s := seen.New(100, month)
	now := time.Now().Truncate(time.Minute)
	front, side := s.Recorder("front", "partners", nil), s.Recorder("side", "partners", nil)
	alice, bob := sub.Client("alice"), root.Client("bob")
	arrive(t, partners, front, alice, now)
	arrive(t, partners, front, alice, now.Add(5*time.Minute+time.Second))
	arrive(t, partners, side, alice, now.Add(time.Minute))
	arrive(t, partners, front, bob, now)
	stranger := pki.NewRoot("stranger").Client("mallory")
	front.Accepted(partners.Verify(stranger.Chain(), nil, now), stranger.Chain(), now)

	all := s.Clients()
	if len(all) != 3 || s.Len() != 3 {
		t.Fatalf("%d clients, want 3: %+v", len(all), all)
	}
	for _, c := range all {
		first, last, path := now, now, 1
		if bytes.Equal(c.Subject, alice.Cert.RawSubject) {
			if last, path = now.Add(5*time.Minute), 2; c.Listener == "side" {
				first, last = now.Add(time.Minute), now.Add(time.Minute)
			}
		}
		if !c.FirstSeen.Equal(first) || !c.LastSeen.Equal(last) || len(c.Path) != path || c.TrustStore != "partners" {
			t.Errorf("%+v, want %v to %v", c, first, last)
		}
	}

	// And over a restart.
	path := filepath.Join(t.TempDir(), seen.FileName)
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	if changed, added := s.Changed(); changed || added {
		t.Error("changed after it was written")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	again := seen.New(100, month)
	if err := again.Load(path, now); err != nil {
		t.Fatal(err)
	}
	if got, want := stable(again), stable(s); !reflect.DeepEqual(got, want) {
		t.Errorf("read back\n%v\nwant\n%v", got, want)
	}
	// Who comes again is known since before the restart.
	arrive(t, newTrust(t, root.Cert), again.Recorder("front", "partners", nil), bob, now.Add(time.Hour))
	for _, c := range again.Clients() {
		if bytes.Equal(c.Subject, bob.Cert.RawSubject) && (!c.FirstSeen.Equal(now) || !c.LastSeen.Equal(now.Add(time.Hour))) {
			t.Errorf("%+v", c)
		}
	}
}

// stable is what clients hold, in a form that compares.
func stable(s *seen.Store) (out []string) {
	for _, c := range s.Clients() {
		text := fmt.Sprintf("%s %s %x %x %s %v %v %v %x %d %x %v %v", c.Listener, c.TrustStore, c.SHA256, c.Subject, c.Issuer, c.Serial,
			c.NotBefore.Unix(), c.NotAfter.Unix(), c.Points, c.Presented, c.Filters, c.FirstSeen.Unix(), c.LastSeen.Unix())
		for _, ca := range c.Path {
			text += fmt.Sprintf(" %x %v", ca.Cert.Raw, ca.Sent)
		}
		out = append(out, text)
	}
	return out
}

// The file holds no certificate of a client's own.
func TestFileHoldsNoClientCertificate(t *testing.T) {
	root := pki.NewRoot("root")
	s := seen.New(10, month)
	secret := root.Client("alice", pki.DNS("secret.partner.example"))
	arrive(t, newTrust(t, root.Cert), s.Recorder("front", "partners", nil), secret, time.Now())
	path := filepath.Join(t.TempDir(), seen.FileName)
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var form map[string]any
	if err := json.Unmarshal(data, &form); err != nil || len(form["clients"].([]any)) != 1 {
		t.Fatal(err, form)
	}
	der, _ := json.Marshal(secret.Cert.Raw)
	names, _ := json.Marshal(secret.Cert.RawSubjectPublicKeyInfo)
	for _, forbidden := range [][]byte{bytes.Trim(der, `"`), bytes.Trim(names, `"`), []byte("secret.partner.example")} {
		if bytes.Contains(data, forbidden) {
			t.Errorf("the file has %.60s", forbidden)
		}
	}
	if strings.Contains(string(data), fmt.Sprintf("%q:null", "serial_number")) {
		t.Error("no serial number")
	}
}

// TestBounds fills a store over its limit, and lets time pass.
func TestBounds(t *testing.T) {
	root := pki.NewRoot("root")
	key := pki.Key(root.Key)
	partners := newTrust(t, root.Cert)
	const limit = 160
	s := seen.New(limit, 10*time.Hour)
	r := s.Recorder("front", "partners", nil)
	now := time.Now()
	for i := range 3 * limit {
		arrive(t, partners, r, root.Client(fmt.Sprint(i), key), now.Add(time.Duration(i)*time.Second))
	}
	if n := s.Len(); n > limit || n < limit/2 {
		t.Errorf("%d clients, the limit is %d", n, limit)
	}
	s.Configure(limit/2, 10*time.Hour)
	s.Forget(now)
	if n := s.Len(); n > limit/2 {
		t.Errorf("%d clients, the limit is %d now", n, limit/2)
	}
	s.Forget(now.Add(9 * time.Hour))
	if s.Len() == 0 {
		t.Error("forgotten before the time")
	}
	s.Forget(now.Add(11 * time.Hour))
	if n := s.Len(); n != 0 {
		t.Errorf("%d clients after the retention", n)
	}
}

// A CA that makes a CA for every client, and clients with endless names, fill nothing.
func TestBoundsOfBytes(t *testing.T) {
	root := pki.NewRoot("root")
	key := pki.Key(root.Key)
	partners := newTrust(t, root.Cert)
	s := seen.New(10_000, month)
	r := s.Recorder("front", "partners", nil)
	for i := range 1100 {
		arrive(t, partners, r, root.Intermediate(fmt.Sprint(i), key).Client("c", key), time.Now())
	}
	if n := s.Len(); n != 1023 { // and the root
		t.Errorf("%d clients with a CA each", n)
	}
	before := s.Len()
	arrive(t, partners, r, root.Client("short", key), time.Now())
	arrive(t, partners, r, root.Client(strings.Repeat("long", 1100), key), time.Now())
	if n := s.Len(); n != before+1 {
		t.Errorf("%d clients, want %d", n, before+1)
	}
	s.Configure(0, month)
	s.Forget(time.Now())
	s.Configure(10_000, month)
	arrive(t, partners, r, root.Intermediate("new", key).Client("c", key), time.Now())
	if n := s.Len(); n != 1 {
		t.Errorf("%d clients after the CAs were forgotten", n)
	}
}

// A limit of 0 notes nobody, and takes away what was kept.
func TestOff(t *testing.T) {
	root := pki.NewRoot("root")
	partners := newTrust(t, root.Cert)
	path := filepath.Join(t.TempDir(), seen.FileName)
	s := seen.New(10, month)
	r := s.Recorder("front", "partners", nil)
	arrive(t, partners, r, root.Client("a"), time.Now())
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	s.Configure(0, month)
	s.Forget(time.Now())
	arrive(t, partners, r, root.Client("b"), time.Now())
	if err := s.Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); s.Len() != 0 || !os.IsNotExist(err) {
		t.Errorf("%d clients, the file: %v", s.Len(), err)
	}
	if err := s.Save(path); err != nil {
		t.Errorf("with no file to remove: %v", err)
	}
}

// Files that cannot be used add nobody, and break nothing.
func TestLoadFaults(t *testing.T) {
	path := filepath.Join(t.TempDir(), seen.FileName)
	s := seen.New(10, month)
	if err := s.Load(path, time.Now()); err != nil {
		t.Errorf("no file: %v", err)
	}
	for _, text := range []string{"", "{", "[]", `{"version":2}`, `{"version":1,"clients":7}`} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Load(path, time.Now()); err == nil || !strings.Contains(err.Error(), path) || s.Len() != 0 {
			t.Errorf("%q: %v, %d clients", text, err, s.Len())
		}
	}
	if err := os.WriteFile(path, []byte(`{"version":1,"clients":[{"sha256":"ab"},{"serial_number":"1","certificates_sent":1,"path":[{"authority":"x"}]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Load(path, time.Now()); err != nil || s.Len() != 0 {
		t.Errorf("%v, %d clients", err, s.Len())
	}
}

// TestConcurrentUse is for the race detector.
func TestConcurrentUse(t *testing.T) {
	root := pki.NewRoot("root")
	partners := newTrust(t, root.Cert)
	s := seen.New(50, month)
	path := filepath.Join(t.TempDir(), seen.FileName)
	clients := make([]*pki.Entity, 20)
	for i := range clients {
		clients[i] = root.Client(fmt.Sprint(i), pki.Key(root.Key))
	}
	var wg sync.WaitGroup
	for _, listener := range []string{"one", "two", "three"} {
		r := s.Recorder(listener, "partners", nil)
		wg.Go(func() {
			for i := range 500 {
				arrive(t, partners, r, clients[i%len(clients)], time.Now().Add(time.Duration(i)*time.Second))
			}
		})
	}
	for range 5 {
		s.Forget(time.Now())
		if err := s.Save(path); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if s.Len() == 0 {
		t.Error("nobody was noted")
	}
}

// BenchmarkAccepted is what a connection pays: of a client that was noted within the
// minute, and of one that was not.
func BenchmarkAccepted(b *testing.B) {
	root := pki.NewRoot("root")
	partners := newTrust(b, root.Cert)
	chain := root.Client("c").Chain()
	s := seen.New(10_000, month)
	r := s.Recorder("front", "partners", nil)
	now := time.Now()
	v := partners.Verify(chain, nil, now)
	b.Run("known", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			r.Accepted(v, chain, now)
		}
	})
	b.Run("minute", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			now = now.Add(time.Minute)
			r.Accepted(v, chain, now)
		}
	})
}
