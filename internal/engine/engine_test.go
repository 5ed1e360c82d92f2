package engine

import (
	"context"
	"strings"
	"testing"
	"time"
)

// derivingCall cancels a context that was derived from the request's, as a call that
// is still dialling does.
type derivingCall struct{ cancel context.CancelFunc }

func (c derivingCall) Cancel(error) { c.cancel() }

func TestContextBreaksACall(t *testing.T) {
	var c Context
	c.Renew(t.Context(), nil)
	derived, cancel := context.WithCancel(&c)
	call := derivingCall{cancel}
	if !c.Attach(&call) || c.Attach(&call) {
		t.Error("there is room for one call")
	}
	c.End()
	<-derived.Done()
	c.Detach(&call)
	if c.Attach(&call) {
		t.Error("the context has ended")
	}
}

// TestContextEndsItsOwnersOnly: a look from outside that comes late must not end the
// next request.
func TestContextEndsItsOwnersOnly(t *testing.T) {
	var c Context
	one, other := new(int), new(int)
	c.Renew(t.Context(), one)
	c.EndOf(other)
	if err := c.Err(); err != nil {
		t.Errorf("ended for somebody else: %v", err)
	}
	c.EndOf(one)
	if err := c.Err(); err != context.Canceled {
		t.Errorf("Err() = %v, want context.Canceled", err)
	}
}

func TestContextAfterFunc(t *testing.T) {
	var c Context
	c.Renew(t.Context(), nil)
	ran := make(chan string, 3)
	keep := context.AfterFunc(&c, func() { ran <- "kept" })
	drop := context.AfterFunc(&c, func() { ran <- "dropped" })
	if !drop() || drop() {
		t.Error("stop has to report true once")
	}
	c.End()
	if got := <-ran; got != "kept" {
		t.Errorf("%s ran, want the one that was not stopped", got)
	}
	if keep() {
		t.Error("stop reports true after the function has begun")
	}
	context.AfterFunc(&c, func() { ran <- "late" })
	if got := <-ran; got != "late" {
		t.Errorf("%s ran, want the one that came after the end", got)
	}
}

// TestClasses holds the table to the RFCs, written another way.
func TestClasses(t *testing.T) {
	const alnum = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	for c := range 256 {
		in := func(s string) bool { return c < 0x80 && strings.IndexByte(s, byte(c)) >= 0 }
		for class, want := range map[Class]bool{
			Token:  in(alnum + "!#$%&'*+-.^_`|~"),
			Lower:  in(alnum[:26]),
			Upper:  in(alnum[26:52]),
			Value:  c == '\t' || c >= ' ' && c != 0x7f,
			Target: c > ' ' && c < 0x7f,
			Path:   in(alnum + "-_.~" + "$&+,/:;=@"),
			Host:   in(alnum + "-_.~" + "!$%&'()*+,;=" + "[]:"),
		} {
			if Is(byte(c), class) != want {
				t.Errorf("byte %#x, class %#x: %t, want %t", c, class, !want, want)
			}
		}
	}
}

func TestDate(t *testing.T) {
	var d Date
	at := time.Date(2026, 11, 25, 15, 0, 0, 0, time.FixedZone("", 3600))
	const first, second = "Wed, 25 Nov 2026 14:00:00 GMT", "Wed, 25 Nov 2026 14:00:01 GMT"
	for _, c := range []struct {
		after time.Duration
		want  string
	}{{0, first}, {999 * time.Millisecond, first}, {time.Second, second}, {0, first}} {
		if got := d.At(at.Add(c.after)); got != c.want {
			t.Errorf("after %v: %s, want %s", c.after, got, c.want)
		}
	}
}

func TestBlocksDropWhatHasGrown(t *testing.T) {
	p := Blocks{Size: 16}
	b := p.Get()
	if len(b.B) != 0 || len(b.Whole()) != 16 {
		t.Errorf("a block of %d bytes, %d in all; want 0 of 16", len(b.B), len(b.Whole()))
	}
	b.B = make([]byte, 8*16+1)
	p.Put(b)
	p.Put(nil)
	for range 4 {
		if got := p.Get(); got == b {
			t.Fatal("a block that has grown was kept")
		}
	}
}

func TestDrain(t *testing.T) {
	closed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	var d Drain
	if !closed(d.Wait(0)) {
		t.Error("there is nothing to wait for")
	}
	first, second := d.Wait(2), d.Wait(2)
	d.Left(1)
	if closed(first) {
		t.Error("one is left")
	}
	d.Left(0)
	if !closed(first) || !closed(second) {
		t.Error("none is left")
	}
	if again := d.Wait(1); closed(again) {
		t.Error("a new one is there")
	}
}
