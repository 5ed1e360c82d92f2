package lb

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// TestListsAreReadAgainOnlyIfTheyChanged also holds that a list of the same size is
// told from the one before.
func TestListsAreReadAgainOnlyIfTheyChanged(t *testing.T) {
	root := pki.NewRoot("root")
	name := filepath.Join(t.TempDir(), "list")
	m := newMaterial(nil)
	read := func(data []byte) *crl.List {
		t.Helper()
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		f, size, err := openFile(name, maxRevocationFile)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		list, sum, err := m.list(f, size)
		if err != nil {
			t.Fatal(err)
		}
		if sum != sha256.Sum256(data) {
			t.Error("the sum is not that of the file")
		}
		m.lists[sum] = list
		return list
	}
	first := root.CRL(1)
	one := read(first)
	if read(first) != one {
		t.Error("the same file was parsed again")
	}
	var other []byte
	for number := int64(2); len(other) != len(first); number++ { // signatures differ in length
		other = root.CRL(number % 100)
	}
	if two := read(other); two == one || two.Number().Cmp(one.Number()) == 0 {
		t.Error("another list of the same size counts as the same")
	}
	if read(first) != one {
		t.Error("what was remembered is lost")
	}
}
