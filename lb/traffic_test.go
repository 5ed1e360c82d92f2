package lb_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
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
