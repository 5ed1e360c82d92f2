package lb

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/internal/yield"
	"github.com/postern-lb/postern/lb/config"
	"github.com/postern-lb/postern/lb/versions"
	"github.com/postern-lb/postern/listener"
	"github.com/postern-lb/postern/trust"
)

// Limits of the files that a config names, in bytes. All but revocation lists are read whole.
const (
	maxBundleFile      = 16 << 20
	maxRevocationFile  = 128 << 20
	maxCertificateFile = 1 << 20
)

// hashPiece is how much of a file is hashed at a time: some 0.05 ms.
const hashPiece = 64 << 10

// storeMaterial is what the files of one trust store hold.
type storeMaterial struct {
	bundle  *trust.Bundle
	set     *crl.Set
	digest  [sha256.Size]byte // of all files
	version string
	sources []SourceVersion // of what was fetched

	contents []versions.Content // the files, until they are kept
}

// material reads files and remembers what they parsed to, so that a reload
// parses only what has changed. It is used by one goroutine at a time.
type material struct {
	certificates *certificates
	sources      *sources // nil: there are files only
	now          func() time.Time

	lists map[[sha256.Size]byte]*crl.List
	sets  map[[sha256.Size]byte]*crl.Set // by digest of the store
}

func newMaterial(c *certificates) *material {
	return &material{
		certificates: c, now: time.Now,
		lists: make(map[[sha256.Size]byte]*crl.List), sets: make(map[[sha256.Size]byte]*crl.Set),
	}
}

// A reading collects what one pass over the files finds.
type reading struct {
	faults   fault.List
	warnings []Warning
	used     map[string]bool   // certmagic's hashes
	pairs    map[string]string // which of them stands where in the config
	copies   copies
	lists    map[[sha256.Size]byte]*crl.List
	sets     map[[sha256.Size]byte]*crl.Set
}

func newReading() *reading {
	return &reading{
		used: make(map[string]bool), pairs: make(map[string]string),
		lists: make(map[[sha256.Size]byte]*crl.List), sets: make(map[[sha256.Size]byte]*crl.Set),
	}
}

// keep makes what r used the memory for the next pass.
func (m *material) keep(r *reading) {
	m.lists, m.sets = r.lists, r.sets
	m.certificates.retain(r.used)
}

// store reads the files of one trust store; nil if they have faults, which are
// then in r.
func (m *material) store(ts config.TrustStore, path string, r *reading) *storeMaterial {
	before := len(r.faults)
	bundle, content := m.bundle(ts.CACertificatesBundle, path+".ca_certificates_bundle", r)
	sources := m.revocations(ts, path, r)
	if len(r.faults) > before {
		return nil
	}
	out := m.assemble(bundle, sources, path, r)
	if out != nil {
		out.contents = contentsOf(content, sources, out.sources)
	}
	return out
}

// assemble makes the material of a trust store of its files; nil if the lists do not
// fit the bundle.
func (m *material) assemble(bundle *trust.Bundle, sources []revocation, path string, r *reading) *storeMaterial {
	digest := sha256.New()
	digest.Write(bundle.Digest[:])
	for _, s := range sources {
		digest.Write(s.sum[:])
	}
	out := &storeMaterial{bundle: bundle, sources: r.copies.versions(path)}
	digest.Sum(out.digest[:0])
	out.version = versionOf(out.digest, out.sources)
	before := len(r.faults)
	out.set = m.set(out.digest, sources, bundle, path, r)
	if len(r.faults) > before {
		return nil
	}
	return out
}

// bundle reads the certificates of a trust store; nil if a file has faults.
func (m *material) bundle(src config.Source, path string, r *reading) (*trust.Bundle, versions.Content) {
	data, name := m.bundleData(src, path, r)
	if data == nil {
		return nil, versions.Content{}
	}
	bundle, err := trust.ParseBundle(data, m.now())
	if err != nil {
		r.addFile(path, name, err)
		return nil, versions.Content{}
	}
	for _, w := range bundle.Warnings {
		r.warnings = append(r.warnings, Warning{File: name, Path: path, Problem: w.String()})
	}
	return bundle, bundleContent(name, data)
}

type revocation struct {
	crl.Source
	file string // that it was read from, which is a copy if the source is remote
	sum  [sha256.Size]byte
}

func (m *material) revocations(ts config.TrustStore, path string, r *reading) []revocation {
	var out []revocation
	for i, src := range ts.Revocations {
		at := fault.Index(path+".revocations", i)
		for _, found := range m.locate(src, kindRevocations, at, r) {
			if list := m.revocation(found, at, r); list != nil {
				out = append(out, *list)
			}
		}
	}
	return out
}

// revocation reads one revocation list; nil if it has faults.
func (m *material) revocation(found located, at string, r *reading) *revocation {
	f, size, err := openFile(found.file, maxRevocationFile)
	if err != nil {
		r.faults.Add(at, "%v", err)
		return nil
	}
	defer f.Close()
	list, sum, err := m.list(f, size)
	if err != nil {
		r.addFile(at, found.name, err)
		return nil
	}
	r.lists[sum] = list
	return &revocation{crl.Source{Name: found.name, List: list}, found.file, sum}
}

// list reads a revocation list, or finds it among those that were read before. It never
// has the file in memory, which may be over a hundred megabytes. The sum is
// of the very bytes that the list was made from, even if the file changes meanwhile.
func (m *material) list(f *os.File, size int64) (*crl.List, [sha256.Size]byte, error) {
	var sum [sha256.Size]byte
	hash := sha256.New()
	for _, known := range m.lists {
		if int64(known.Size()) != size {
			continue
		}
		if err := hashFile(hash, f); err != nil {
			return nil, sum, err
		}
		hash.Sum(sum[:0])
		if list := m.lists[sum]; list != nil {
			return list, sum, nil
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return nil, sum, err
		}
		hash.Reset()
		break
	}
	list, err := crl.Read(io.TeeReader(f, hash))
	hash.Sum(sum[:0])
	return list, sum, err
}

// hashFile hashes what is left of f, in pieces between which requests have a turn.
func hashFile(h hash.Hash, f *os.File) error {
	var turn yield.Turn
	defer turn.Close()
	buffer := make([]byte, hashPiece)
	for {
		n, err := f.Read(buffer)
		h.Write(buffer[:n])
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
		turn.Yield()
	}
}

func (m *material) set(digest [sha256.Size]byte, sources []revocation, b *trust.Bundle, path string, r *reading) *crl.Set {
	set := m.sets[digest]
	if set == nil {
		lists := make([]crl.Source, len(sources))
		for i, s := range sources {
			lists[i] = s.Source
		}
		var err error
		if set, err = crl.NewSet(lists, b.Certificates); err != nil {
			r.faults.AddUnder(path+".revocations", err)
			return nil
		}
	}
	r.sets[digest] = set
	for _, w := range set.Warnings(m.now()) {
		r.warnings = append(r.warnings, Warning{File: w.Source, Path: path + ".revocations", Problem: w.Detail})
	}
	return set
}

// serverCertificates reads the certificates of one listener, the default first.
func (m *material) serverCertificates(certs []config.Certificate, path string, r *reading) []tls.Certificate {
	var out []tls.Certificate
	for i, files := range certs {
		at := fault.Index(path+".certificates", i)
		if cert := m.serverCertificate(files, at, r); cert != nil {
			out = append(out, *cert)
		}
	}
	return out
}

func (m *material) serverCertificate(files config.Certificate, at string, r *reading) *tls.Certificate {
	chain, err := readFile(files.Certificate, maxCertificateFile)
	if err != nil {
		r.faults.Add(at+".certificate", "%v", err)
	}
	key, keyErr := readFile(files.PrivateKey, maxCertificateFile)
	if keyErr != nil {
		r.faults.Add(at+".private_key", "%v", keyErr)
	}
	if err != nil || keyErr != nil {
		return nil
	}
	if _, err := tls.X509KeyPair(chain, key); err != nil {
		r.faults.Add(at, "%s and %s are no certificate with its key: %v", files.Certificate, files.PrivateKey, err)
		return nil
	}
	cert, hash, err := m.certificates.load(chain, key)
	if err != nil {
		r.addFile(at+".certificate", files.Certificate, err)
		return nil
	}
	r.used[hash], r.pairs[at] = true, hash
	warnings, err := listener.CheckServerCertificate(cert, m.now())
	if err != nil {
		r.addFile(at+".certificate", files.Certificate, err)
		return nil
	}
	if w, err := listener.CheckKeyFile(files.PrivateKey); err == nil && w != "" {
		r.warnings = append(r.warnings, Warning{Path: at + ".private_key", Problem: w})
	}
	for _, w := range warnings {
		r.warnings = append(r.warnings, Warning{File: files.Certificate, Path: at + ".certificate", Problem: w})
	}
	return cert
}

// addFile notes the faults in err, each with the name of the file.
func (r *reading) addFile(path, file string, err error) {
	for _, f := range fault.All(err) {
		r.faults.Add(path, "%s: %s", file, f.Error())
	}
}

// readFile reads a regular file of at most limit bytes. The error names the
// file and what to do.
func readFile(name string, limit int64) ([]byte, error) {
	f, _, err := openFile(name, limit)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit))
	if err != nil {
		return nil, unreadable(name, err)
	}
	if len(data) == 0 {
		return nil, fmt.Errorf("%s is empty", name)
	}
	return data, nil
}

// openFile opens a regular file of at most limit bytes that is not empty, and returns
// its size, with errors like those of readFile.
func openFile(name string, limit int64) (f *os.File, size int64, err error) {
	f, err = os.Open(name)
	if err != nil {
		return nil, 0, unreadable(name, err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, 0, unreadable(name, err)
	case info.IsDir():
		return nil, 0, fmt.Errorf("%s is a folder: name a file in it", name)
	case info.Size() > limit:
		return nil, 0, fmt.Errorf("%s has %d bytes, the limit is %d", name, info.Size(), limit)
	case info.Size() == 0 && info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s is empty", name)
	}
	return f, info.Size(), nil
}

func unreadable(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		where := ""
		if abs, err := filepath.Abs(name); err == nil && abs != name {
			where = " (looked at " + abs + ")"
		}
		return fmt.Errorf("%s does not exist%s: create it or correct the path", name, where)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s may not be read by this user: correct its mode or owner", name)
	}
	return fmt.Errorf("reading %s: %w", name, err)
}
