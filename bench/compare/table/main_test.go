package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/postern-lb/postern/bench"
)

func TestTableOfMedians(t *testing.T) {
	dir := t.TempDir()
	for name, r := range map[string]bench.Result{
		"full/nginx.1.json":   {PerSecond: 100, ServerCPU: 50, Completed: 10},
		"full/nginx.2.json":   {PerSecond: 300, ServerCPU: 40, Completed: 10, Failed: 2},
		"full/nginx.3.json":   {PerSecond: 200, ServerCPU: 60, Completed: 10, Failed: 1},
		"full/postern.1.json": {PerSecond: 300, ServerCPU: 20},
		"full/postern.2.json": {PerSecond: 500, ServerCPU: 30},
		"keep/postern.1.json": {PerSecond: 7},
	} {
		data, err := json.Marshal(bench.HandshakeReport{Result: r, Resumed: r.Completed / 2})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := write(&out, all, "nginx"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"| full | nginx | 200 | 1.00 | 50.0 | 1.00 | 0 | 0 | 0 % | 0 % | 50 % | 3 | 3 |\n",
		"| full | postern | 400 | 2.00 | 25.0 | 0.50 | 0 | 0 | 0 % | 0 % | – | 0 | 2 |\n",
		"| keep | postern | 7 | – | 0.0 | – |",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}

func TestTableOfNothingIsAnError(t *testing.T) {
	if _, err := read(t.TempDir()); err == nil {
		t.Error("an empty folder gave no error")
	}
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "full", "nginx.1.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(dir); err == nil || !strings.Contains(err.Error(), "nginx.1.json") {
		t.Errorf("half a report gave %v", err)
	}
}
