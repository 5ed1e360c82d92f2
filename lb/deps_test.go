package lb_test

import (
	"errors"
	"go/build"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const modulePath = "github.com/postern-lb/postern/"

// mayImport is the import policy of the module: what each package may import of
// the others, by path below the module. Packages below internal count like any
// other. Tests may import more. Do not add a line to mend a build: a package
// that needs another one here is in the wrong place, or the code in it is.
//
// Nothing imports cmd, bench or examples, but for the command, which offers bench.
var mayImport = map[string][]string{
	"internal/dn":       {},
	"internal/durable":  {},
	"internal/engine":   {},
	"internal/fault":    {},
	"internal/http1":    {"internal/engine"},
	"internal/http2":    {"internal/engine"},
	"internal/labca":    {"internal/durable"},
	"internal/logfile":  {},
	"internal/outbound": {},
	"internal/pki":      {},
	"internal/vectors":  {},
	"internal/yield":    {},

	"crl":              {"internal/dn", "internal/fault", "internal/yield"},
	"trust":            {"crl", "internal/dn", "internal/fault"},
	"trust/clientcert": {"trust"},
	"targetgroup":      {"internal/fault", "internal/http1"},
	"listener": {
		"targetgroup", "trust", "crl",
		"internal/dn", "internal/engine", "internal/fault", "internal/http1", "internal/http2", "internal/logfile", "internal/yield",
	},

	"lb/cdp":      {"trust", "crl", "internal/durable", "internal/outbound"},
	"lb/config":   {"internal/fault"},
	"lb/ocsp":     {"trust", "crl", "internal/outbound"},
	"lb/seen":     {"trust", "internal/durable", "internal/yield"},
	"lb/source":   {"internal/durable"},
	"lb/state":    {"lb/config", "internal/fault"},
	"lb/versions": {"internal/durable", "internal/yield"},
	"lb": {
		"lb/cdp", "lb/config", "lb/ocsp", "lb/seen", "lb/source", "lb/state", "lb/versions", "listener", "targetgroup", "trust", "crl",
		"internal/dn", "internal/durable", "internal/fault", "internal/logfile", "internal/yield",
	},

	"bench":                {"internal/fault", "internal/pki"},
	"bench/peers":          {"bench", "internal/pki"},
	"bench/peers/backend":  {},
	"bench/peers/baseline": {},
	"bench/peers/tunnel":   {},
	"bench/revocation":     {"internal/pki"},

	"cmd/postern":               {"lb", "lb/config", "lb/versions", "bench", "cmd/postern/internal/demo", "internal/labca"},
	"cmd/postern/internal/demo": {"lb", "internal/pki"},

	"examples/behind-alb":         {"trust", "trust/clientcert"},
	"examples/embedding/balancer": {"lb"},
	"examples/embedding/listener": {"listener", "targetgroup", "trust"},
	"examples/internal/story":     {"lb", "internal/pki"},
	"examples/privatelink":        {},
	"examples/target":             {},
}

// mayNotImport is what the packages of ours must not know of the standard library
// and of other modules.
var mayNotImport = map[string][]string{
	"crl":         {"net", "net/http"},
	"trust":       {"net/http"},
	"internal/dn": {"net", "net/http"},
}

func TestImportPolicy(t *testing.T) {
	imports, err := readImports("..")
	check(t, err)
	if len(imports) < 10 {
		t.Fatalf("only %d packages found", len(imports))
	}
	for _, v := range violations(imports, mayImport, mayNotImport) {
		t.Error(v)
	}
}

// TestImportPolicyBites holds that the checker finds each kind of violation.
func TestImportPolicyBites(t *testing.T) {
	for name, imports := range map[string]map[string][]string{
		"upwards":          {"crl": {modulePath + "trust"}},
		"sideways":         {"targetgroup": {modulePath + "trust"}},
		"unknown package":  {"util": {}},
		"unknown import":   {"lb": {modulePath + "util"}},
		"standard library": {"crl": {"net/http"}},
		"the command":      {"lb": {modulePath + "cmd/postern"}},
	} {
		imports["internal/dn"] = nil
		if got := violations(imports, map[string][]string{"crl": {}, "targetgroup": {"internal/dn"}, "internal/dn": {}, "lb": {"crl"}}, mayNotImport); len(got) != 1 {
			t.Errorf("%s: found %q, want one violation", name, got)
		}
	}
}

// violations compares what packages import with what they may.
func violations(imports, may, mayNot map[string][]string) []string {
	var out []string
	for pkg, imported := range imports {
		allowed, known := may[pkg]
		if !known {
			out = append(out, "package "+pkg+" is not in the import policy")
			continue
		}
		for _, path := range imported {
			ours, isOurs := strings.CutPrefix(path, modulePath)
			if isOurs && !slices.Contains(allowed, ours) {
				out = append(out, "package "+pkg+" must not import "+ours)
			}
			if slices.Contains(mayNot[pkg], path) {
				out = append(out, "package "+pkg+" must not import "+path)
			}
		}
	}
	return out
}

// readImports returns what each package below root imports, tests apart, by path
// below root.
func readImports(root string) (map[string][]string, error) {
	imports := make(map[string][]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if name := entry.Name(); path != root && (name == "testdata" || strings.HasPrefix(name, ".")) {
			return filepath.SkipDir
		}
		pkg, err := build.ImportDir(path, 0)
		if _, none := errors.AsType[*build.NoGoError](err); none {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if len(pkg.GoFiles) > 0 {
			imports[filepath.ToSlash(name)] = pkg.Imports
		}
		return err
	})
	return imports, err
}
