package lb_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// remembering is verifying with a state directory.
func remembering(address, seenClients string) string {
	return "state_directory: state\nseen_clients: " + seenClients + "\n" + verifying(address)
}

func (s *site) seenFile() string {
	data, _ := os.ReadFile(filepath.Join(s.dir, "state", "seen-clients.json"))
	return string(data)
}

// TestSeenClientsAreKept holds that who was let in is written down while the process
// runs, over its end and over a restart, and forgotten when nobody is to be remembered.
func TestSeenClientsAreKept(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(remembering(address, "{}"))
	r := s.start()
	url := "https://" + address + "/"
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	eventually(t, "the file", func() bool { return strings.Count(s.seenFile(), `"sha256"`) == 1 })
	if _, metrics := r.admin(t, "/metrics"); !strings.Contains(metrics, "postern_seen_clients 1") {
		t.Error("no metric")
	}
	wantGet(t, s.client(s.bob), url, 200, bobSubject)
	r.stop()
	check(t, r.wait(t))
	if n := strings.Count(s.seenFile(), `"sha256"`); n != 2 {
		t.Fatalf("%d clients after the end, want 2: %s", n, s.seenFile())
	}

	r = s.start()
	if _, metrics := r.admin(t, "/metrics"); !strings.Contains(metrics, "postern_seen_clients 2") {
		t.Error("not remembered over a restart")
	}
	s.configure(remembering(address, "{limit: 0}"))
	r.reload(t)
	if text := s.seenFile(); text != "" {
		t.Errorf("with a limit of 0 the file has %s", text)
	}
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
	if _, metrics := r.admin(t, "/metrics"); !strings.Contains(metrics, "postern_seen_clients 0") {
		t.Error("remembered in spite of a limit of 0")
	}
}

// A file that cannot be read costs nothing but what it held.
func TestSeenClientsOfBeforeAreGarbage(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(remembering(address, "{}"))
	check(t, os.Mkdir(s.path("state"), 0o700))
	check(t, os.WriteFile(s.path("state/seen-clients.json"), []byte("{"), 0o600))
	s.start()
	wantGet(t, s.client(s.alice), "https://"+address+"/", 200, aliceSubject)
	eventually(t, "a file that is whole", func() bool { return strings.Count(s.seenFile(), `"sha256"`) == 1 })
	if !strings.Contains(s.log.String(), "gathered anew") {
		t.Error("the log does not say so")
	}
}
