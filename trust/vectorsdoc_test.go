package trust_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/vectors"
)

const vectorsPage = "../docs/vectors.md"

// TestVectorsPage holds that the documentation has the counts and the sentences of
// the data.
func TestVectorsPage(t *testing.T) {
	data, err := os.ReadFile(vectorsPage)
	if err != nil {
		t.Fatal(err)
	}
	page := string(data)
	end := strings.Index(page, "-->\n")
	if end < 0 {
		t.Fatal("the page does not say where its generated part begins")
	}
	want := page[:end+4] + suitesAsMarkdown(t)
	if *updateVectors {
		if err := os.WriteFile(vectorsPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if page != want {
		t.Errorf("%s is out of date: run go test ./trust -run TestVectors -update-vectors", vectorsPage)
	}
}

func suitesAsMarkdown(t *testing.T) string {
	var table, lists strings.Builder
	table.WriteString("\n## Counts\n\n| suite | agree | difference | inapplicable |\n|---|---|---|---|\n")
	for _, name := range vectorSuites {
		s, err := vectors.Open(vectorsDir, name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&table, "| %s | %d | %d | %d |\n", s.Name, s.Counts.Agree, s.Counts.Difference, s.Counts.Inapplicable)
		fmt.Fprintf(&lists, "\n## %s\n", s.Name)
		explainKeys(&lists, "Differences", s.Differences, s.Cases, func(c *vectors.Case) string { return c.Difference })
		explainKeys(&lists, "Inapplicable", s.Inapplicable, s.Cases, func(c *vectors.Case) string { return c.Inapplicable })
	}
	return table.String() + lists.String()
}

// explainKeys lists each sentence with the cases that it is about.
func explainKeys(w *strings.Builder, title string, sentences map[string]string, cases []vectors.Case, key func(*vectors.Case) string) {
	fmt.Fprintf(w, "\n%s:\n\n", title)
	for _, k := range slices.Sorted(maps.Keys(sentences)) {
		var names []string
		refuses := 0
		for i := range cases {
			if c := &cases[i]; key(c) == k {
				name, _, _ := strings.Cut(c.Name, " ")
				names = append(names, strings.TrimSuffix(name, ":"))
				if c.Expect == vectors.Accept {
					refuses++
				}
			}
		}
		fmt.Fprintf(w, "- **%s** (%s): %s\n", k, tally(title, len(names), refuses, names), sentences[k])
	}
}

func tally(title string, n, refuses int, names []string) string {
	text := fmt.Sprint(n)
	if title == "Differences" {
		text = fmt.Sprintf("%d refused, %d accepted", refuses, n-refuses)
	}
	if names[0][0] >= '0' && names[0][0] <= '9' && n <= 12 { // section numbers
		text += "; " + strings.Join(names, ", ")
	}
	return text
}
