package listener

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func readDoc(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestLogPageIsComplete keeps docs/logs.md in step: every JSON key and the very
// lines that the examples of the tests give.
func TestLogPageIsComplete(t *testing.T) {
	page := readDoc(t, "logs.md")
	conn, access := connEntry(), accessEntry()
	for _, line := range [][]byte{conn.AppendJSON(nil), access.AppendJSON(nil)} {
		for key := range decode(t, line) {
			if !strings.Contains(page, "`"+key+"`") {
				t.Errorf("docs/logs.md does not name %s", key)
			}
		}
	}
	for _, line := range []string{connExample, accessExample} {
		if !strings.Contains(page, line) {
			t.Errorf("docs/logs.md does not have the line %s", line)
		}
	}
}
