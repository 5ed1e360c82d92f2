package config_test

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/postern-lb/postern/lb/config"
)

// FuzzParse holds any input to this: either a File whose references all
// resolve, the same one each time, or faults that are sorted and lie inside
// the input; never both, never a panic.
func FuzzParse(f *testing.F) {
	f.Add([]byte(contract))
	archives, _ := filepath.Glob("testdata/faults/*.txtar")
	for _, path := range archives {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			f.Add(file.Data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := config.Parse("f", data)
		if err != nil {
			if file != nil {
				t.Error("both a File and an error")
			}
			checkFaults(t, data, err)
			return
		}
		checkReferences(t, file)
		again, err := config.Parse("f", data)
		if err != nil || !reflect.DeepEqual(file, again) {
			t.Errorf("a second parse differs: %v", err)
		}
	})
}

func checkFaults(t *testing.T, data []byte, err error) {
	list, ok := errors.AsType[config.Errors](err)
	if !ok || len(list) == 0 {
		t.Fatalf("error of type %T with %d faults", err, len(list))
	}
	lines := strings.Split(string(data), "\n")
	for _, e := range list {
		if e.Line < 1 || e.Line > len(lines) || e.Column < 1 || e.Column > utf8.RuneCountInString(lines[e.Line-1])+1 {
			t.Errorf("outside the file: %v", e)
		}
		if strings.ContainsAny(e.Error(), "\n\x1b") {
			t.Errorf("more than one line, or control characters: %q", e.Error())
		}
	}
	if !slices.IsSortedFunc(list, func(a, b *config.Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	}) {
		t.Errorf("not sorted:\n%v", err)
	}
}

func checkReferences(t *testing.T, file *config.File) {
	for i, l := range file.Listeners {
		if m := l.MutualAuthentication; m.Mode == config.MutualVerify &&
			!slices.ContainsFunc(file.TrustStores, func(s config.TrustStore) bool { return s.Name == m.TrustStore }) {
			t.Errorf("listener %d has no trust store", i)
		}
		actions := slices.Clone(l.DefaultActions)
		for _, r := range l.Rules {
			actions = append(actions, r.Actions...)
		}
		for _, a := range actions {
			checkAction(t, file, a)
		}
	}
}

func checkAction(t *testing.T, file *config.File, a config.Action) {
	kinds := 0
	for _, set := range []bool{a.Forward != nil, a.Redirect != nil, a.FixedResponse != nil} {
		if set {
			kinds++
		}
	}
	if kinds != 1 {
		t.Errorf("an action of %d kinds", kinds)
	}
	if a.Forward == nil {
		return
	}
	for _, g := range a.Forward.TargetGroups {
		if !slices.ContainsFunc(file.TargetGroups, func(have config.TargetGroup) bool { return have.Name == g.Name }) {
			t.Errorf("no target group %q", g.Name)
		}
	}
}

// TestTooManyRules reads one rule more than allowed: some 1.4 MB of YAML.
func TestTooManyRules(t *testing.T) {
	var b strings.Builder
	b.WriteString("listeners:\n  - name: a\n    address: 127.0.0.1:1\n    protocol: HTTP\n" +
		"    default_actions: [{fixed_response: {status_code: 200}}]\n    rules:\n")
	for i := range config.MaxRules + 1 {
		fmt.Fprintf(&b, "      - {priority: %d, conditions: [{path_pattern: {values: [/p%d]}}], actions: [{fixed_response: {status_code: 200}}]}\n", i+1, i)
	}
	_, err := config.Parse("f", []byte(b.String()))
	if want := "f:6:5: listeners[0].rules: must have at most 10000 elements; found 10001"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestHostileFilesAreCheap repeats what makes a careless parser recurse, or
// take time or memory with the square of the length.
func TestHostileFilesAreCheap(t *testing.T) {
	const length, mostBytes = 64 << 10, 64 << 20
	for _, piece := range []string{
		"[", "{", "- ", "a: ", "a: 1\n", "- a: 1\n", "a:\n- 1\n", "-\n", "? ", "&a ", "*a ", "!a ", "---\n", "|\n",
		"'", "\"a\" ", "#\n", "\n", "\t", "a,", "a: 1, ", "{a: 1},", "é",
	} {
		for _, open := range []string{"", "{", "["} {
			data := []byte(open + strings.Repeat(piece, length/len(piece)))
			if open == "{" {
				data = append(data, '}')
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := config.Parse("f", data)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("%q: parsed", open+piece)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > mostBytes {
				t.Errorf("%q: allocated %d bytes for %d", open+piece, n, len(data))
			}
		}
	}
}

func TestTooManyKeys(t *testing.T) {
	var b strings.Builder
	for i := range config.MaxKeys + 1 {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	_, err := config.Parse("f", []byte(b.String()))
	if want := "f:1001:6: more than 1000 keys in one mapping"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func BenchmarkParseContract(b *testing.B) {
	data := []byte(contract)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := config.Parse("f", data); err != nil {
			b.Fatal(err)
		}
	}
}
