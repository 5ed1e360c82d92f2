package bench

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range and precision of a histogram: three digits from 16 ns on, so a
// percentile is at most 0.1 % from the truth, in 220 KB whatever the run's length.
const (
	histogramLow    = 16
	histogramHigh   = int64(2 * MaxDuration)
	histogramDigits = 3
)

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(histogramLow, histogramHigh, histogramDigits)
}

// note records d, n times. Nothing that takes longer than the range can be: a
// window ends before.
func note(h *hdrhistogram.Histogram, d time.Duration, n int64) {
	_ = h.RecordValues(min(max(int64(d), 0), histogramHigh), n)
}

// Latency holds percentiles in microseconds, to 0.1 %.
type Latency struct {
	Mean float64 `json:"mean_us"`
	P50  float64 `json:"p50_us"`
	P90  float64 `json:"p90_us"`
	P99  float64 `json:"p99_us"`
	P999 float64 `json:"p99_9_us"`
	Max  float64 `json:"max_us"`
}

func latencyOf(h *hdrhistogram.Histogram) Latency {
	if h == nil || h.TotalCount() == 0 {
		return Latency{}
	}
	at := func(percentile float64) float64 {
		return microseconds(time.Duration(min(h.ValueAtPercentile(percentile), h.Max())))
	}
	return Latency{
		Mean: h.Mean() / float64(time.Microsecond),
		P50:  at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: at(100),
	}
}

// A Quantile is one point of the distribution: Share (0 to 1) of all attempts
// took at most US microseconds.
type Quantile struct {
	Share float64 `json:"share"`
	US    float64 `json:"us"`
}

// distributionTicks is how many points a distribution has for each halving of
// what is left to 100 %: enough for a smooth line.
const distributionTicks = 5

func distributionOf(h *hdrhistogram.Histogram) []Quantile {
	if h.TotalCount() == 0 {
		return nil
	}
	var out []Quantile
	for _, b := range h.CumulativeDistributionWithTicks(distributionTicks) {
		us := microseconds(time.Duration(min(b.ValueAt, h.Max())))
		out = append(out, Quantile{Share: b.Quantile / 100, US: us})
	}
	return out
}

func microseconds(d time.Duration) float64 {
	return float64(d) / float64(time.Microsecond)
}
