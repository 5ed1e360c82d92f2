package main

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// The measurement comes to its end, whatever is changed.
func TestRun(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "postern")
	if out, err := exec.Command("go", "build", "-o", binary, "../../cmd/postern").CombinedOutput(); err != nil {
		t.Fatalf("building postern: %v\n%s", err, out)
	}
	for _, o := range []options{
		{binary: binary, connections: 40, clients: 10, entries: 100},
		{binary: binary, connections: 20, clients: 20, bundle: true},
	} {
		if err := run(o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
