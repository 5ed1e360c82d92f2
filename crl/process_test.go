package crl_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/crl"
	"github.com/postern-lb/postern/internal/pki"
)

// loadEnv makes the test binary read the list of that file and print what it took,
// so that BenchmarkLoad measures a process that does nothing else. Without a
// file the process is measured as it starts.
const loadEnv = "POSTERN_CRL_LOAD"

func TestMain(m *testing.M) {
	if name, ok := os.LookupEnv(loadEnv); ok {
		if err := reportLoad(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// reportLoad reads a list, and prints milliseconds and the most memory in KB.
func reportLoad(name string) error {
	begin := time.Now()
	if name != "" {
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		if _, err := crl.Read(file); err != nil {
			return err
		}
	}
	took := time.Since(begin)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, most, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes int
	if _, err := fmt.Sscan(most, &kilobytes); err != nil {
		return err
	}
	fmt.Println(float64(took.Microseconds())/1000, kilobytes)
	return nil
}

// BenchmarkLoad reads lists in a process each, and reports its time and peak of
// resident memory, as a whole and above that of a process that reads none.
func BenchmarkLoad(b *testing.B) {
	if runtime.GOOS != "linux" {
		b.Skip("the peak is read from /proc")
	}
	root := pki.NewRoot("root")
	for _, size := range benchSizes {
		b.Run(fmt.Sprintf("entries=%d", size), func(b *testing.B) {
			data := pki.CRLPEM(bigList(root, size))
			name := filepath.Join(b.TempDir(), "list.crl")
			if err := os.WriteFile(name, data, 0o600); err != nil {
				b.Fatal(err)
			}
			_, idle := load(b, "")
			var took float64
			var most int
			for b.Loop() {
				ms, kilobytes := load(b, name)
				took, most = took+ms, max(most, kilobytes)
			}
			b.ReportMetric(took/float64(b.N), "load-ms")
			b.ReportMetric(float64(most)/1024, "peak-MiB")
			b.ReportMetric(float64(most-idle)*1024/float64(len(data)), "added/file-size")
		})
	}
}

// load runs reportLoad in a process.
func load(b *testing.B, name string) (ms float64, kilobytes int) {
	b.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), loadEnv+"="+name)
	out, err := command.Output()
	if err != nil {
		b.Fatal(err)
	}
	if _, err := fmt.Sscan(string(out), &ms, &kilobytes); err != nil {
		b.Fatalf("%q: %v", out, err)
	}
	return ms, kilobytes
}
