package targetgroup

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestHealthStates drives the state machine with one letter a check: p passed, f
// failed. The state after each is the first letter of its name.
func TestHealthStates(t *testing.T) {
	for _, tt := range []struct {
		name           string
		healthy, sick  int // thresholds
		checks, states string
	}{
		{"in service after one passed check", 5, 2, "p", "h"},
		{"out of service after the threshold", 5, 3, "pfff", "hhhu"},
		{"failures must be in a row", 5, 3, "pffpffp", "hhhhhhh"},
		{"a new target needs all its failures", 5, 3, "fff", "iiu"},
		{"a new target that fails and then passes", 5, 3, "ffp", "iih"},
		{"back in service after the threshold", 3, 2, "ffppp", "iuuuh"},
		{"passes must be in a row", 3, 2, "ffppfppp", "iuuuuuuh"},
		{"failures are counted afresh once it is back", 2, 2, "ffppfpff", "iuuhhhhu"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h health
			h.set(time.Now(), Initial, firstChecks)
			settings := HealthCheck{HealthyThreshold: tt.healthy, UnhealthyThreshold: tt.sick}
			var got strings.Builder
			for i, check := range tt.checks {
				before, r := h.State, passedCheck
				if check == 'f' {
					r = failedCheck
				}
				if changed := h.record(time.Now(), r, &settings); changed != (before != h.State) {
					t.Errorf("check %d: changed is %v from %s to %s", i, changed, before, h.State)
				}
				got.WriteByte(h.State[0])
			}
			if got.String() != tt.states {
				t.Errorf("states %s, want %s", got.String(), tt.states)
			}
		})
	}
}

func TestUnhealthyReasonIsTheLatest(t *testing.T) {
	settings := HealthCheck{HealthyThreshold: 2, UnhealthyThreshold: 2}
	synctest.Test(t, func(t *testing.T) {
		var h health
		h.set(time.Now(), Initial, firstChecks)
		h.record(time.Now(), failedCheck, &settings)
		if h.Reason != InitialHealthChecking {
			t.Errorf("reason %s after one failure, want %s", h.Reason, InitialHealthChecking)
		}
		h.record(time.Now(), timedOut, &settings)
		since := h.since
		time.Sleep(time.Minute)
		if h.record(time.Now(), codeMismatch(503), &settings) {
			t.Error("another reason counts as another state")
		}
		if h.Reason != ResponseCodeMismatch || h.Description != "Health checks failed with these codes: [503]" || h.since != since {
			t.Errorf("%+v, want the mismatch, since %v", h, since)
		}
		h.record(time.Now(), passedCheck, &settings)
		h.record(time.Now(), passedCheck, &settings)
		if h.State != Healthy || h.Reason != "" || h.Description != "" || h.since != since.Add(time.Minute) {
			t.Errorf("%+v, want healthy for no reason, a minute later", h)
		}
	})
}

func TestUncheckedStatesIgnoreChecks(t *testing.T) {
	settings := HealthCheck{HealthyThreshold: 2, UnhealthyThreshold: 2}
	for _, state := range []State{Unused, Draining, Unavailable} {
		var h health
		h.set(time.Now(), state, draining)
		for range 10 {
			if h.record(time.Now(), passedCheck, &settings) || h.record(time.Now(), failedCheck, &settings) {
				t.Fatalf("a check took the target out of %s into %s", state, h.State)
			}
		}
	}
}

// TestWords holds the texts that DescribeTargetHealth is known by.
func TestWords(t *testing.T) {
	for _, tt := range []struct {
		got          result
		reason, text string
	}{
		{registering, "Elb.RegistrationInProgress", "Target registration is in progress"},
		{firstChecks, "Elb.InitialHealthChecking", "Initial health checks in progress"},
		{codeMismatch(404), "Target.ResponseCodeMismatch", "Health checks failed with these codes: [404]"},
		{timedOut, "Target.Timeout", "Request timed out"},
		{failedCheck, "Target.FailedHealthChecks", "Health checks failed"},
		{internalError, "Elb.InternalError", "Health checks failed due to an internal error"},
		{deregistered, "Target.NotRegistered", "Target is not registered to the target group"},
		{notInUse, "Target.NotInUse", "Target group is not configured to receive traffic from the load balancer"},
		{draining, "Target.DeregistrationInProgress", "Target deregistration is in progress"},
		{checksOff, "Target.HealthCheckDisabled", "Health checks are disabled"},
	} {
		if string(tt.got.reason) != tt.reason || tt.got.description != tt.text {
			t.Errorf("%+v, want %s %q", tt.got, tt.reason, tt.text)
		}
	}
}
