package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

// pageText is the whole page: it names no other file, so it opens offline.
//
//go:embed report.html.tmpl
var pageText string

type page struct {
	Title   string
	Caution string
	Rows    [][2]string
	Plots   []plot
}

// WriteHTML writes the report as one page with plots, which needs no other file.
func (r *HandshakeReport) WriteHTML(w io.Writer) error {
	return writePage(w, "Handshakes: "+r.Negotiated, &r.Result, r.table())
}

// WriteHTML writes the report as one page with plots, which needs no other file.
func (r *RequestReport) WriteHTML(w io.Writer) error {
	return writePage(w, "Requests: "+r.Negotiated, &r.Result, r.table())
}

func writePage(w io.Writer, title string, r *Result, t *table) error {
	parsed, err := template.New("report").Parse(pageText)
	if err != nil {
		return fmt.Errorf("parsing the page: %w", err)
	}
	p := page{Title: "postern bench · " + title, Rows: t.rows}
	if r.GeneratorBound {
		p.Caution = "Caution: " + cautionBound + "."
	}
	if len(r.Distribution) > 1 {
		p.Plots = append(p.Plots, latencyPlot(r.Distribution))
	}
	if len(r.Series) > 1 {
		p.Plots = append(p.Plots, ratePlot(r.Series))
	}
	return parsed.Execute(w, p)
}
