package config_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/postern-lb/postern/internal/fault"
	"github.com/postern-lb/postern/lb/config"
)

var update = flag.Bool("update", false, "write the messages of today to testdata/faults/*.want")

// TestFaults holds every fault to its exact message. Each archive holds faulty
// files; the file of the same name with the ending .want holds the messages.
func TestFaults(t *testing.T) {
	archives, err := filepath.Glob("testdata/faults/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no archives: %v", err)
	}
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		wantPath := strings.TrimSuffix(path, ".txtar") + ".want"
		want := readWant(t, wantPath)
		var all strings.Builder
		for _, f := range archive.Files {
			got := faultsOf(t, f.Name, f.Data)
			fmt.Fprintf(&all, "-- %s --\n%s", f.Name, got)
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar")+"/"+f.Name, func(t *testing.T) {
				if got != want[f.Name] && !*update {
					t.Errorf("got\n%swant\n%s", got, want[f.Name])
				}
			})
		}
		if *update {
			if err := os.WriteFile(wantPath, []byte(all.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func readWant(t *testing.T, path string) map[string]string {
	t.Helper()
	want := make(map[string]string)
	archive, err := txtar.ParseFile(path)
	if err != nil {
		if *update {
			return want
		}
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		want[f.Name] = string(f.Data)
	}
	return want
}

func faultsOf(t *testing.T, name string, data []byte) string {
	t.Helper()
	file, err := config.Parse("postern.yaml", data)
	if err == nil || file != nil {
		t.Errorf("%s: got file %v and error %v, want faults only", name, file, err)
		return ""
	}
	if strings.Contains(err.Error(), "MC4CAQ") {
		t.Errorf("%s: the message holds key material: %v", name, err)
	}
	return err.Error() + "\n"
}

// TestBytes covers what an archive of text files cannot hold.
func TestBytes(t *testing.T) {
	for _, tt := range []struct{ name, data, want string }{
		{"no byte", "", `f:1:1: the file is empty: it needs at least the key "listeners"`},
		{"not UTF-8", "listeners: []\nadmin: {address: \xff}\n", "f:2:18: the file is not UTF-8 text: found byte 0xff"},
		{"NUL", "listeners: []\n# \x00", "f:2:3: the file holds the control character U+0000"},
		{"escape sequence", "listeners: [] # \x1b[2J", "f:1:17: the file holds the control character U+001B"},
		{"byte order mark inside", "listeners: []\n\ufeff", "f:2:1: the file holds the control character U+FEFF"},
		{"UTF-16", "l\x00i\x00", "f:1:2: the file holds the control character U+0000"},
		{"carriage return alone", "listeners: []\radmin: {}", "f:1:14: the file holds the control character U+000D"},
		{"column counts characters", "admin: {ädress: 1}\nlisteners: []", "f:1:9: admin.(a key of 6 characters): unknown key; did you mean \"address\"?"},
		{"end of line CRLF", "listeners: []\r\ncolour: 1\r\n", "f:2:1: colour: unknown key; the keys here are admin, load_balancer, listeners, target_groups, trust_stores, logs, state_directory, seen_clients"},
		{"too large", "#" + strings.Repeat("x", config.MaxFileSize), "f:1:1: the file is larger than 8388608 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse("f", []byte(tt.data))
			if err == nil || err.Error() != tt.want {
				t.Errorf("got  %v\nwant %s", err, tt.want)
			}
		})
	}
}

func TestByteOrderMarkAndCRLFAreRead(t *testing.T) {
	file, err := config.Parse("f", []byte("\ufeff"+strings.ReplaceAll(contract, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, file, contractFile(""))
}

func TestManyFaultsAreCutOff(t *testing.T) {
	var data strings.Builder
	data.WriteString("listeners: []\n")
	for i := range 300 {
		fmt.Fprintf(&data, "zzzzzzzz%d: 1\n", i)
	}
	_, err := config.Parse("f", []byte(data.String()))
	list, ok := errors.AsType[config.Errors](err)
	if !ok || len(list) != 201 {
		t.Fatalf("got %d faults, want 200 and a last line", len(list))
	}
	if got, want := list[200].Error(), "f:201:1: 100 more faults follow and are not shown"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLoadFaults(t *testing.T) {
	folder := t.TempDir()
	_, err := config.Load(filepath.Join(folder, "none.yaml"))
	want := filepath.Join(folder, "none.yaml") + ": reading the config file: no such file or directory"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, err = config.Load(folder); err == nil || !strings.HasSuffix(err.Error(), "is a directory") {
		t.Errorf("loading a folder: got %v", err)
	}
	if _, ok := errors.AsType[*config.Error](err); !ok {
		t.Errorf("%T holds no *config.Error", err)
	}
}

func TestPosition(t *testing.T) {
	file, err := config.Parse("postern.yaml", []byte(contract))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(contract, "\n")
	for _, tt := range []struct{ path, text string }{
		{"", "admin:"},
		{"admin.address", "127.0.0.1:9901 "},
		{"admin.nothing", "admin:"},
		{"listeners", "listeners:"},
		{"listeners[0]", "name: front-door"},
		{"listeners[0].certificates", "certificates:"},
		{"listeners[0].certificates[0].private_key", "pki/server-key.pem"},
		{"listeners[0].rules[1].actions[0].fixed_response.status_code", "204}"},
		{"listeners[0].rules[1].actions[0].fixed_response.message_body", "{status_code: 204}"},
		{"listeners[0].rules[0].conditions[0].path_pattern.values[0]", `"/widgets*"`},
		{"listeners[0].rules[7].priority", "rules:"},
		{"listeners[0].default_actions[0].forward.target_groups[0].name", "widgets}]}"},
		{"target_groups[0].health_check.matcher", `"200"`},
		{"nothing[3].at.all", "admin:"},
	} {
		line, column := file.Position(tt.path)
		if text := lines[line-1][column-1:]; !strings.HasPrefix(text, tt.text) {
			t.Errorf("Position(%q) = %d:%d, which is %q, want %q", tt.path, line, column, text, tt.text)
		}
	}
}

func TestPathOf(t *testing.T) {
	file, err := config.Parse("postern.yaml", []byte(contract))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ list, name, want string }{
		{"listeners", "front-door", "listeners[0]"},
		{"target_groups", "widgets", "target_groups[0]"},
		{"trust_stores", "partners", "trust_stores[0]"},
		{"trust_stores", "widgets", "trust_stores"},
	} {
		if got := file.PathOf(tt.list, tt.name); got != tt.want {
			t.Errorf("PathOf(%q, %q) = %q, want %q", tt.list, tt.name, got, tt.want)
		}
	}
}

func TestWarnings(t *testing.T) {
	file, err := config.Parse("f", []byte(contract))
	if err != nil {
		t.Fatal(err)
	}
	if w := file.Warnings(); w != nil {
		t.Errorf("the contract's example has warnings: %v", w)
	}
	file, err = config.Parse("f", []byte(`listeners: []
admin: {address: "0.0.0.0:9901", allow_remote: true}
trust_stores: [{name: a, ca_certificates_bundle: a.pem}]
target_groups:
  - name: b
`))
	if err != nil {
		t.Fatal(err)
	}
	want := `f:2:18: admin.address: the admin side has no log-in and is reachable from other machines at "0.0.0.0:9901"
f:3:16: trust_stores[0]: no listener uses the trust store "a"
f:5:5: target_groups[0]: no listener forwards to the target group "b"; its targets are not checked`
	if got := file.Warnings().Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWarningsOfSettingsWithoutEffect(t *testing.T) {
	const settings = "on_refusal: alert, max_chain_depth: 5, session_resumption: off"
	for mode, want := range map[string]string{
		"off":                         "on_refusal max_chain_depth session_resumption",
		"passthrough":                 "on_refusal max_chain_depth",
		"verify, trust_store: ourown": "",
	} {
		file, err := config.Parse("f", []byte(`listeners:
  - {name: a, address: ":1", protocol: HTTPS, certificates: [{certificate: a, private_key: b}],
     default_actions: [{fixed_response: {status_code: 200}}], mutual_authentication: {mode: `+mode+", "+settings+`}}
trust_stores: [{name: ourown, ca_certificates_bundle: c}]
`))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, w := range file.Warnings() {
			if key, ok := strings.CutPrefix(w.Path, "listeners[0].mutual_authentication."); ok {
				got = append(got, key)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: warnings about %q, want %q", mode, got, want)
		}
	}
}

func TestPlace(t *testing.T) {
	file, err := config.Parse("postern.yaml", []byte(contract))
	if err != nil {
		t.Fatal(err)
	}
	var faults fault.List
	faults.Add("values[0]", "bad pattern")
	faults.Add("regex_values", "not with values")
	got := file.Place("listeners[0].rules[1].conditions[0].path_pattern", fmt.Errorf("compiling: %w", faults.Err()))
	want := `postern.yaml:27:27: listeners[0].rules[1].conditions[0].path_pattern.regex_values: not with values
postern.yaml:27:37: listeners[0].rules[1].conditions[0].path_pattern.values[0]: bad pattern`
	if got.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", got, want)
	}
	if none := file.Place("listeners[0]", nil); none != nil {
		t.Errorf("Place of no error = %v", none)
	}
	made := &config.File{}
	if got := made.Place("listeners[0]", errors.New("bad")); len(got) != 1 || got[0].Line != 0 {
		t.Errorf("Place without a source = %v", got)
	}
}
