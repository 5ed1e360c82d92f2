package state_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/state"
)

const desired = `
listeners:
  - name: door
    address: 127.0.0.1:8443
    protocol: HTTPS
    certificates: [{certificate: a.pem, private_key: a.key}]
    mutual_authentication: {mode: verify, trust_store: partners}
    rules:
      - priority: 1
        conditions: [{path_pattern: {values: [/g]}}]
        actions: [{forward: {target_groups: [{name: gadgets}, {name: widgets}]}}]
    default_actions: [{forward: {target_groups: [{name: widgets}]}}]
  - name: plain
    address: 127.0.0.1:8080
    protocol: HTTP
    default_actions: [{forward: {target_groups: [{name: widgets}]}}]
  - name: a-fixed
    address: 127.0.0.1:8081
    protocol: HTTP
    default_actions: [{fixed_response: {status_code: 200}}]
target_groups: [{name: widgets}, {name: gadgets}, {name: idle}]
trust_stores:
  - {name: partners, ca_certificates_bundle: p.pem}
  - {name: partner, ca_certificates_bundle: q.pem}
logs: {access: {path: "-"}}
`

// parse reads desired afresh, so that no two calls share memory, with the
// replacements given as old, new pairs.
func parse(t testing.TB, replacements ...string) *config.File {
	t.Helper()
	file, err := config.Parse("f", []byte(strings.NewReplacer(replacements...).Replace(desired)))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func apply(t testing.TB, s *state.Store, file *config.File) state.Changes {
	t.Helper()
	changes, err := s.Apply(file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return changes
}

func newStore(t testing.TB) *state.Store {
	t.Helper()
	s, err := state.New()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func names[T any](rows []*state.Row[T]) string {
	var list []string
	for _, r := range rows {
		list = append(list, r.Name)
	}
	return strings.Join(list, " ")
}

func wantNames[T any](t *testing.T, what string, rows []*state.Row[T], want string) {
	t.Helper()
	if got := names(rows); got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestEmptyStore(t *testing.T) {
	snapshot := newStore(t).Snapshot()
	if snapshot.Revision() != 0 || snapshot.Admin() != nil || snapshot.Logs() != nil || snapshot.LoadBalancer() != nil {
		t.Error("a new store is not empty")
	}
	wantNames(t, "listeners", snapshot.Listeners(), "")
}

func TestApplyAndQuery(t *testing.T) {
	s := newStore(t)
	changes := apply(t, s, parse(t))
	if changes.Revision != 1 || !slices.Equal(changes.Listeners.Added, []string{"door", "plain", "a-fixed"}) || len(changes.Settings.Added) != 5 {
		t.Errorf("changes: %+v", changes)
	}
	snapshot := s.Snapshot()
	if snapshot.Revision() != 1 {
		t.Errorf("revision %d, want 1", snapshot.Revision())
	}
	wantNames(t, "listeners", snapshot.Listeners(), "a-fixed door plain")
	wantNames(t, "target groups", snapshot.TargetGroups(), "gadgets idle widgets")
	wantNames(t, "trust stores", snapshot.TrustStores(), "partner partners")
	wantNames(t, "users of partners", snapshot.ListenersUsingTrustStore("partners"), "door")
	wantNames(t, "users of partner, the beginning of another name", snapshot.ListenersUsingTrustStore("partner"), "")
	wantNames(t, "users of widgets", snapshot.ListenersUsingTargetGroup("widgets"), "door plain")
	wantNames(t, "users of gadgets", snapshot.ListenersUsingTargetGroup("gadgets"), "door")
	wantNames(t, "users of idle", snapshot.ListenersUsingTargetGroup("idle"), "")
	if row := snapshot.Listener("plain"); row == nil || row.Value.Address != "127.0.0.1:8080" || row.Revision != 1 {
		t.Errorf("listener plain: %+v", row)
	}
	if snapshot.Listener("plai") != nil || snapshot.TargetGroup("") != nil || snapshot.TrustStore("nobody") != nil {
		t.Error("found what is not there")
	}
	if logs := snapshot.Logs(); logs == nil || logs.Value.Access == nil || logs.Value.Access.Path != "-" {
		t.Errorf("logs: %+v", logs)
	}
	if snapshot.Admin().Value.Address != config.DefaultAdminAddress || snapshot.LoadBalancer().Value.Name != "postern" {
		t.Error("settings differ from the file")
	}
}

func TestEqualStateChangesNothing(t *testing.T) {
	s := newStore(t)
	apply(t, s, parse(t))
	before := s.Snapshot()
	changes := apply(t, s, parse(t))
	if !changes.Empty() || changes.Revision != 1 || s.Snapshot().Revision() != 1 {
		t.Errorf("changes: %+v", changes)
	}
	if s.Snapshot().Listener("door") != before.Listener("door") {
		t.Error("an equal row was written again")
	}
}

func TestOnlyChangedRowsAreNew(t *testing.T) {
	s := newStore(t)
	apply(t, s, parse(t))
	before := s.Snapshot()
	changes := apply(t, s, parse(t, "127.0.0.1:8080", "127.0.0.1:9090", ", {name: idle}", ", {name: new}", `path: "-"`, "path: a.log"))
	after := s.Snapshot()

	if got, want := fmt.Sprint(changes), "{2 {[] [plain] []} {[new] [] [idle]} {[] [] []} {[] [logs] []}}"; got != want {
		t.Errorf("changes %s, want %s", got, want)
	}
	if after.Listener("door") != before.Listener("door") || after.TrustStore("partners") != before.TrustStore("partners") ||
		after.TargetGroup("widgets") != before.TargetGroup("widgets") || after.Admin() != before.Admin() {
		t.Error("an unchanged row is not the same pointer")
	}
	if after.Listener("plain") == before.Listener("plain") || after.Listener("plain").Revision != 2 || after.Listener("door").Revision != 1 {
		t.Error("revisions of rows are wrong")
	}
	if before.Listener("plain").Value.Address != "127.0.0.1:8080" || before.TargetGroup("idle") == nil || before.Revision() != 1 {
		t.Error("the older snapshot has changed")
	}
	if after.TargetGroup("idle") != nil {
		t.Error("a row that is not desired is still there")
	}
}

func TestBadStateIsRefusedWhole(t *testing.T) {
	for _, tt := range []struct {
		name  string
		spoil func(*config.File)
		want  string
	}{
		{"trust store gone", func(f *config.File) { f.TrustStores = f.TrustStores[1:] },
			`listeners[0].mutual_authentication.trust_store: no trust store has the name "partners"`},
		{"target group gone", func(f *config.File) { f.TargetGroups = f.TargetGroups[1:] },
			"listeners[0]: no target group has the name \"widgets\"\nlisteners[1]: no target group has the name \"widgets\""},
		{"two of one name", func(f *config.File) { f.TargetGroups[2].Name = "widgets" },
			`target_groups[2].name: the name "widgets" is already that of target_groups[0]`},
		{"no name", func(f *config.File) { f.Listeners[2].Name = "" }, `listeners[2].name: must not be empty`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStore(t)
			apply(t, s, parse(t))
			bad := parse(t, "127.0.0.1:8080", "127.0.0.1:9090")
			tt.spoil(bad)
			_, err := s.Apply(bad, nil)
			var list fault.List
			for _, f := range fault.All(err) {
				list = append(list, f)
			}
			if list.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
			if after := s.Snapshot(); after.Revision() != 1 || after.Listener("plain").Value.Address != "127.0.0.1:8080" {
				t.Error("part of a refused state was kept")
			}
			if changes := apply(t, s, parse(t, "127.0.0.1:8080", "127.0.0.1:9090")); changes.Revision != 2 {
				t.Errorf("after a refusal: %+v", changes)
			}
		})
	}
}

func TestWaitWakesOnChangeOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		woken := make(chan uint64, 1)
		go func() {
			revision, err := s.Wait(t.Context(), 1)
			if err != nil {
				t.Error(err)
			}
			woken <- revision
		}()
		apply(t, s, parse(t))
		apply(t, s, parse(t))
		bad := parse(t)
		bad.TargetGroups = nil
		if _, err := s.Apply(bad, nil); err == nil {
			t.Error("a bad state was applied")
		}
		synctest.Wait()
		select {
		case revision := <-woken:
			t.Fatalf("woken at revision %d", revision)
		default:
		}
		apply(t, s, parse(t, "8080", "9090"))
		if revision := <-woken; revision != 2 {
			t.Errorf("woken at revision %d, want 2", revision)
		}
	})
}

func TestWaitReturnsAtOnceWhenBehind(t *testing.T) {
	s := newStore(t)
	apply(t, s, parse(t))
	if revision, err := s.Wait(t.Context(), 0); revision != 1 || err != nil {
		t.Errorf("got %d, %v", revision, err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if revision, err := newStore(t).Wait(ctx, 7); revision != 7 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %d, %v", revision, err)
		}
	})
}

// TestReadersSeeWholeStates writes two states in turn while readers check that
// address and target group always belong together.
func TestReadersSeeWholeStates(t *testing.T) {
	s := newStore(t)
	states := [2]*config.File{
		parse(t),
		parse(t, "127.0.0.1:8080", "127.0.0.1:9090", "{name: idle}", "{name: busy}"),
	}
	apply(t, s, states[0])
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for ctx.Err() == nil {
				snapshot := s.Snapshot()
				address := snapshot.Listener("plain").Value.Address
				if second := address == "127.0.0.1:9090"; second != (snapshot.TargetGroup("busy") != nil) {
					t.Errorf("revision %d: address %s with target groups %s", snapshot.Revision(), address, names(snapshot.TargetGroups()))
					return
				}
			}
		})
	}
	for i := range 200 {
		if changes := apply(t, s, states[(i+1)%2]); changes.Revision != uint64(i+2) {
			t.Errorf("Apply %d: revision %d", i, changes.Revision)
		}
	}
	stop()
	readers.Wait()
}

// BenchmarkApplyOneOf1000 is a reload in which one listener of a thousand
// changes. It shows the cost of comparing, not that of a config file.
func BenchmarkApplyOneOf1000(b *testing.B) {
	s := newStore(b)
	var files [2]*config.File
	for i := range files {
		files[i] = parse(b)
		listener := files[i].Listeners[1]
		for n := range 1000 {
			listener.Name = fmt.Sprintf("l%d", n)
			files[i].Listeners = append(files[i].Listeners, listener)
		}
	}
	files[1].Listeners[500].MaxConnections++
	apply(b, s, files[0])
	turn := 0
	for b.Loop() {
		turn++
		if changes := apply(b, s, files[turn%2]); len(changes.Listeners.Updated) != 1 {
			b.Fatalf("%+v", changes)
		}
	}
}
