package seen

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/trust"
)

// FuzzRead holds that whatever is read back can be written and is then the same, and that
// anything that was kept can be judged.
func FuzzRead(f *testing.F) {
	root := pki.NewRoot("root")
	bundle, err := trust.ParseBundle(root.PEM(), time.Now())
	if err != nil {
		f.Fatal(err)
	}
	partners := trust.NewStore("partners", trust.Options{})
	partners.Publish(bundle, nil, "1")
	s, chain := New(10, time.Hour), root.Client("a").Chain()
	s.Recorder("front", "partners", nil).Accepted(partners.Verify(chain, nil, time.Now()), chain, time.Now())
	f.Add(written(f, s))
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		form, err := read(bytes.NewReader(data))
		if err != nil {
			return
		}
		first, second := New(10, time.Hour), New(10, time.Hour)
		first.addAll(form)
		form, err = read(bytes.NewReader(written(t, first)))
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		second.addAll(form)
		if got, want := names(second), names(first); !slices.Equal(got, want) {
			t.Errorf("read back %v, want %v", got, want)
		}
		for _, c := range first.Clients() {
			if v := partners.Foresee(&c.Footprint, nil, time.Now()); v.Accepted != (v.Reason == "") {
				t.Errorf("foretold %+v", v)
			}
		}
	})
}

func written(t testing.TB, s *Store) []byte {
	t.Helper()
	var buffer bytes.Buffer
	if err := s.write(&buffer); err != nil {
		t.Fatal(err)
	}
	return buffer.Bytes()
}

func names(s *Store) (out []string) {
	for _, c := range s.Clients() {
		out = append(out, fmt.Sprintf("%q %x %x %s %v %v %d", c.Listener, c.SHA256, c.Subject, c.Serial, c.FirstSeen.Unix(), c.LastSeen.Unix(), len(c.Path)))
	}
	return out
}
