package lb_test

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
)

const (
	trafficClients = 8
	trafficReloads = 50
	// trafficRequests is the least that must have been answered during the reloads.
	trafficRequests = 2000
)

// TestReloadsLoseNoRequest reloads 50 times under load, and changes something at
// each: rules, target groups, the CRL, the server certificate, timeouts, logs.
// Half of the clients keep their connections, half open one for each request.
func TestReloadsLoseNoRequest(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address))
	r := s.start()
	var stop atomic.Bool
	var answered atomic.Int64
	var clients sync.WaitGroup
	for i := range trafficClients {
		client := s.client(s.alice)
		transport := client.Transport.(*http.Transport)
		transport.DisableKeepAlives = i%2 == 0
		transport.ForceAttemptHTTP2 = i%4 == 1
		clients.Go(func() {
			for !stop.Load() && !t.Failed() {
				if status, body := get(client, "https://"+address+"/"); status != 200 || body != aliceSubject {
					t.Errorf("a request was lost: status %d, %s", status, body)
				}
				answered.Add(1)
			}
		})
	}
	for i := 0; i < trafficReloads || answered.Load() < trafficRequests; i++ {
		if t.Failed() {
			break
		}
		s.mutate(address, i)
		r.reload(t)
	}
	stop.Store(true)
	clients.Wait()
	t.Logf("%d requests were answered", answered.Load())
}

// TestReloadsOfALongListLoseNoRequest puts ten long revocation lists in force under
// load, by turns with and without bob.
func TestReloadsOfALongListLoseNoRequest(t *testing.T) {
	const reloads, entries = 10, 30_000
	s, address := newSite(t), freeAddress(t)
	var revoked []x509.RevocationListEntry
	for i := range int64(entries) {
		revoked = append(revoked, x509.RevocationListEntry{SerialNumber: big.NewInt(i + 1), RevocationTime: time.Now()})
	}
	bob := append(slices.Clip(revoked), x509.RevocationListEntry{SerialNumber: s.bob.Cert.SerialNumber, RevocationTime: time.Now()})
	list := func(number int64, entries []x509.RevocationListEntry) []byte {
		return s.ca.SignCRL(&x509.RevocationList{
			Number: big.NewInt(number), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour),
			RevokedCertificateEntries: entries,
		})
	}
	with, without := list(1, bob), list(2, revoked)
	s.configure(verifying(address))
	r := s.start()
	var stop atomic.Bool
	var clients sync.WaitGroup
	for range trafficClients {
		client := s.client(s.alice)
		clients.Go(func() {
			for !stop.Load() && !t.Failed() {
				if status, body := get(client, "https://"+address+"/"); status != 200 || body != aliceSubject {
					t.Errorf("a request was lost: status %d, %s", status, body)
				}
			}
		})
	}
	for i := range reloads {
		data := with
		if i%2 == 1 {
			data = pki.CRLPEM(without)
		}
		s.write("partners.crl", data)
		r.reload(t)
		client := s.client(s.bob)
		client.Transport.(*http.Transport).DisableKeepAlives = true
		if status, _ := get(client, "https://"+address+"/"); (status == 200) != (i%2 == 1) {
			t.Errorf("reload %d: bob gets status %d", i, status)
		}
	}
	stop.Store(true)
	clients.Wait()
}

// mutate changes something else at each step.
func (s *site) mutate(address string, i int) {
	switch i % 5 {
	case 0:
		s.write("partners.crl", s.ca.CRL(int64(i+2), s.bob))
	case 1:
		s.certify("server", "localhost", "127.0.0.1")
	case 2:
		s.configure(fmt.Sprintf("load_balancer: {idle_timeout: %ds}\n", 60+i) + verifying(address))
	case 3:
		s.configure(fmt.Sprintf("logs: {access: {path: access-%d.log}}\n", i) + verifying(address))
	case 4:
		s.configure(strings.ReplaceAll(verifying(address), "app", fmt.Sprintf("app-%d", i)))
	}
}

// TestReloadsLoseNoRequestOfAGroupOutOfUse takes the only action that forwards to
// a target group away and brings it back. Requests are answered by the one
// or by the other action; none finds the group closed behind an action that is
// still in force.
func TestReloadsLoseNoRequestOfAGroupOutOfUse(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	forwarding := "listeners:\n  - {name: front, address: '" + address + "', protocol: HTTP, default_actions: [ACTION]}\n" + parts
	configure := func(action string) { s.configure(strings.Replace(forwarding, "ACTION", action, 1)) }
	configure("{forward: {target_groups: [{name: app}]}}")
	r := s.start()
	var stop atomic.Bool
	var clients sync.WaitGroup
	for range trafficClients {
		client := s.client(nil)
		clients.Go(func() {
			for !stop.Load() && !t.Failed() {
				if status, body := get(client, "http://"+address+"/"); status != 200 && status != 204 {
					t.Errorf("a request was lost: status %d, %s", status, body)
				}
			}
		})
	}
	for i := 0; i < trafficReloads && !t.Failed(); i++ {
		configure([]string{"{fixed_response: {status_code: 204}}", "{forward: {target_groups: [{name: app}]}}"}[i%2])
		r.reload(t)
	}
	stop.Store(true)
	clients.Wait()
}
