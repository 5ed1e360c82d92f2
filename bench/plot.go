package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// The drawing area of a plot in the units of the page's viewBox.
const plotLeft, plotRight, plotTop, plotBottom = 70.0, 790.0, 10.0, 280.0

// A plot is what the page draws: everything is in the page's units.
type plot struct {
	Title        string
	Across, Down []tick
	Lines        []polyline
}

type tick struct {
	At   float64
	Text string
}

type polyline struct {
	Class, Points string
}

// An axis maps values to one dimension of the page.
type axis struct {
	low, high float64
	from, to  float64 // where low and high lie
}

func (a axis) at(v float64) float64 {
	at := a.from + (v-a.low)/(a.high-a.low)*(a.to-a.from)
	return math.Round(10*at) / 10
}

// latencyPlot has the share on an axis that gives each further nine the same
// room, as HdrHistogram's own plots do, and the latency on a logarithmic one: a
// tail a thousand times the median is seen, and so is the median.
func latencyPlot(distribution []Quantile) plot {
	nines := func(share float64) float64 { return -math.Log10(1 - share) }
	var last float64 // the end of the line, short of 100 % which has no place
	for _, q := range distribution {
		if q.Share < 1 {
			last = max(last, nines(q.Share))
		}
	}
	last = max(last, 1)
	x := axis{0, last, plotLeft, plotRight}
	y := axis{math.Log10(max(distribution[0].US, 0.01)), math.Log10(max(distribution[len(distribution)-1].US, 0.02)), plotBottom, plotTop}
	y.low, y.high = math.Floor(3*y.low)/3, math.Ceil(3*y.high+0.01)/3
	p := plot{Title: "Latency over percentile"}
	for n := 0.0; n <= last+1e-9; n++ { // 0.999 has a little less than three nines
		text := "0 %"
		if n > 0 {
			text = strconv.FormatFloat(100-math.Pow(10, 2-n), 'f', max(int(n)-2, 0), 64) + " %"
		}
		p.Down = append(p.Down, tick{x.at(n), text})
	}
	for decade := math.Floor(y.low); decade <= y.high; decade++ {
		for _, step := range []float64{1, 2, 5} {
			us := step * math.Pow(10, decade)
			if v := math.Log10(us); v >= y.low && v <= y.high {
				p.Across = append(p.Across, tick{y.at(v), time.Duration(us * 1000).String()})
			}
		}
	}
	var points strings.Builder
	for _, q := range distribution {
		at := last
		if q.Share < 1 {
			at = nines(q.Share)
		}
		fmt.Fprintf(&points, "%g,%g ", x.at(at), y.at(math.Log10(max(q.US, 0.01))))
	}
	p.Lines = []polyline{{"", points.String()}}
	return p
}

func ratePlot(series []Point) plot {
	var most, failed float64
	for _, s := range series {
		most, failed = max(most, s.PerSecond, s.Failed), max(failed, s.Failed)
	}
	step := niceStep(max(most, 1) / 5)
	x := axis{0, series[len(series)-1].Seconds, plotLeft, plotRight}
	y := axis{0, step * math.Ceil(max(most, 1)/step), plotBottom, plotTop}
	p := plot{Title: "Rate over time: completed a second"}
	for v := 0.0; v <= y.high+step/2; v += step {
		p.Across = append(p.Across, tick{y.at(v), strconv.FormatFloat(v, 'f', -1, 64)})
	}
	across := niceStep(x.high / 8)
	for v := 0.0; v <= x.high+across/1000; v += across {
		p.Down = append(p.Down, tick{x.at(v), strconv.FormatFloat(v, 'g', 4, 64) + " s"})
	}
	line := func(class string, of func(Point) float64) {
		var points strings.Builder
		for _, s := range series {
			fmt.Fprintf(&points, "%g,%g ", x.at(s.Seconds), y.at(of(s)))
		}
		p.Lines = append(p.Lines, polyline{class, points.String()})
	}
	line("", func(s Point) float64 { return s.PerSecond })
	if failed > 0 {
		p.Title += ", and failed in red"
		line("failed", func(s Point) float64 { return s.Failed })
	}
	return p
}

// niceStep returns the least of 1, 2, 5 times a power of ten that is at least v.
func niceStep(v float64) float64 {
	decade := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 5} {
		if step*decade >= v {
			return step * decade
		}
	}
	return 10 * decade
}
