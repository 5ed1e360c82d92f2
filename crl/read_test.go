package crl_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/big"
	"net"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// TestReadInPieces reads lists of several windows a few bytes at a time. The
// signature shows that what was hashed is what was signed.
func TestReadInPieces(t *testing.T) {
	root := pki.NewRoot("root")
	entries := bigEntries(5000)
	der := draft{ca: root, entries: entries, extensions: ext(numberOID, "020101")}.der()
	oneLine := bytes.ReplaceAll(pki.CRLPEM(der), []byte("\n"), nil)
	oneLine = bytes.Replace(oneLine, []byte("CRL-----"), []byte("CRL-----\n"), 1)
	oneLine = bytes.Replace(oneLine, []byte("-----END"), []byte("\n-----END"), 1)
	for name, data := range map[string][]byte{"DER": der, "PEM": pki.CRLPEM(der), "PEM in one line": oneLine} {
		for how, src := range map[string]io.Reader{
			"bytes": iotest.OneByteReader(bytes.NewReader(data)), "halves": iotest.HalfReader(bytes.NewReader(data)),
			"with the end": iotest.DataErrReader(bytes.NewReader(data)),
		} {
			list, err := crl.Read(src)
			if err != nil {
				t.Errorf("%s, %s: %v", name, how, err)
				continue
			}
			if err := list.CheckSignature(root.Cert); err != nil || list.Len() != 5000 || list.Size() != len(data) {
				t.Errorf("%s, %s: %d entries of %d bytes, signature: %v", name, how, list.Len(), list.Size(), err)
			}
			for _, n := range bigSerials(entries) {
				if _, ok := list.Contains(n); !ok {
					t.Errorf("%s, %s: serial %X is missing", name, how, n)
				}
			}
		}
	}
}

// TestReadErrorsAreToldAsSuch breaks reading at every byte: the list is never
// accepted, nor blamed.
func TestReadErrorsAreToldAsSuch(t *testing.T) {
	broken := errors.New("the disk is gone")
	der := pki.NewRoot("root").CRL(1)
	for _, data := range [][]byte{der, pki.CRLPEM(der)} {
		for n := range len(data) + 1 {
			list, err := crl.Read(io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(broken)))
			if !errors.Is(err, broken) || list != nil {
				t.Errorf("broken at byte %d of %d: %v", n, len(data), err)
			}
		}
	}
}

// TestReadTakesTheWholeFile holds what lb relies on, which hashes what Read reads.
func TestReadTakesTheWholeFile(t *testing.T) {
	der := pki.NewRoot("root").CRL(1)
	for _, data := range [][]byte{der, append(pki.CRLPEM(der), bytes.Repeat([]byte("more text\n"), 20_000)...)} {
		h := sha256.New()
		if _, err := crl.Read(io.TeeReader(bytes.NewReader(data), h)); err != nil {
			t.Fatal(err)
		}
		if want := sha256.Sum256(data); !bytes.Equal(h.Sum(nil), want[:]) {
			t.Errorf("the hash of %d bytes differs", len(data))
		}
	}
}

// TestReadStopsAtTheLimit gives it a file without end.
func TestReadStopsAtTheLimit(t *testing.T) {
	list, err := crl.Read(endless{})
	refused(t, list, err, "over the limit of 134217728")
}

type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	return len(b), nil
}

// TestLongElement has an entry that is longer than the window.
func TestLongElement(t *testing.T) {
	root := pki.NewRoot("root")
	long := anExtension(unknownOID, nil, make([]byte, 200_000))
	list := parse(t, draft{ca: root, entries: join(anEntry("01"), anEntry("02", long), anEntry("03"))}.der())
	for n := range int64(3) {
		if _, ok := list.Contains(big.NewInt(n + 1)); !ok {
			t.Errorf("serial %d is missing", n+1)
		}
	}
	if err := list.CheckSignature(root.Cert); err != nil {
		t.Error(err)
	}
}

// TestParseLetsTheNetworkIn counts how often a server that waits for its socket gets
// to answer on the only processor while a list is parsed. With runtime.Gosched
// in place of the turns it is once or twice.
func TestParseLetsTheNetworkIn(t *testing.T) {
	der := bigList(pki.NewRoot("root"), 100_000)
	text := pki.CRLPEM(der)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	var answers atomic.Int64
	pingPong(t, &answers)
	for name, data := range map[string][]byte{"DER": der, "PEM": text} {
		before := answers.Load()
		parse(t, data)
		// 60 windows of the file and some 75 slices of the index; an answer takes two.
		const least = 40
		if n := answers.Load() - before; n < least {
			t.Errorf("%s: %d answers during a parse, want at least %d", name, n, least)
		}
	}
}

// pingPong sends a byte back and forth until the test ends, and counts.
func pingPong(t *testing.T, answers *atomic.Int64) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	bounce := func(c net.Conn, n *atomic.Int64) {
		b := make([]byte, 1)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			n.Add(1)
			c.Write(b)
		}
	}
	go bounce(server, new(atomic.Int64))
	go bounce(client, answers)
	if _, err := client.Write([]byte{0}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
}

// TestMemoryKept measures what a list of a million leaves on the heap: its index and
// nothing of the file.
func TestMemoryKept(t *testing.T) {
	der := bigList(pki.NewRoot("root"), million)
	heap := func() int64 {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return int64(stats.HeapAlloc)
	}
	before := heap()
	list := parse(t, der)
	kept := float64(heap()-before) / million
	runtime.KeepAlive(der)
	const most = 24
	if kept > most {
		t.Errorf("%.1f bytes an entry are kept, want at most %d", kept, most)
	}
	if list.Len() != million {
		t.Errorf("%d entries", list.Len())
	}
}
