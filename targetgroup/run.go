package targetgroup

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// maxJitter is the longest time by which a first check is put off, so that the
// targets of a large group are not all checked in the same instant for ever.
const maxJitter = 500 * time.Millisecond

// Run checks the targets and ends the draining of removed ones, until ctx ends;
// it then returns nil, having waited for its goroutines and called [Group.Close].
// It returns an error at once if it has been called before. Requests in flight go
// on: to let them finish, end the listeners first.
func (g *Group) Run(ctx context.Context) error {
	if g.running.Swap(true) {
		return errors.New("running target group " + g.name + ": it has been run before")
	}
	defer g.Close()
	var attending sync.WaitGroup
	defer attending.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	attendants := make(map[*target]attendant)
	for {
		g.reconcile(ctx, attendants, &attending)
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
		}
	}
}

// An attendant is the goroutine that looks after one target, with its orders.
type attendant struct {
	orders  orders
	dismiss context.CancelFunc
}

// orders say what an attendant does: make checks, or end the draining at a time.
type orders struct {
	checker *checker
	until   time.Time
}

// reconcile sees to it that every target has an attendant with the right orders
// and nobody else has one.
func (g *Group) reconcile(ctx context.Context, attendants map[*target]attendant, attending *sync.WaitGroup) {
	wanted := g.orders()
	for t, a := range attendants {
		if wanted[t] != a.orders {
			a.dismiss()
			delete(attendants, t)
		}
	}
	for t, o := range wanted {
		if _, ok := attendants[t]; ok {
			continue
		}
		ctx, dismiss := context.WithCancel(ctx)
		attendants[t] = attendant{o, dismiss}
		attending.Go(func() { g.attend(ctx, t, o) })
	}
}

func (g *Group) orders() map[*target]orders {
	g.mu.Lock()
	defer g.mu.Unlock()
	wanted := make(map[*target]orders)
	if *g.cfg.HealthCheck.Enabled && !g.cfg.NotInUse {
		for _, t := range g.targets {
			wanted[t] = orders{checker: g.checker}
		}
	}
	for _, t := range g.draining {
		wanted[t] = orders{until: t.drainUntil}
	}
	return wanted
}

func (g *Group) attend(ctx context.Context, t *target, o orders) {
	if o.checker != nil {
		g.checkLoop(ctx, t, o.checker)
		return
	}
	if sleep(ctx, time.Until(o.until)) {
		g.expire(t)
	}
}

// checkLoop checks one target from interval to interval, counted from check to
// check however long the answers take.
func (g *Group) checkLoop(ctx context.Context, t *target, c *checker) {
	g.begin(t)
	if !sleep(ctx, rand.N(min(maxJitter, c.settings.Interval/10))) {
		return
	}
	ticker := time.NewTicker(c.settings.Interval)
	defer ticker.Stop()
	for {
		r := c.check(ctx, t.address)
		if ctx.Err() != nil {
			return
		}
		g.notify(g.record(t, r, &c.settings))
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// begin says that a target which was only registered is now being checked.
func (g *Group) begin(t *target) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t.health.Reason == RegistrationInProgress {
		t.health.set(time.Now(), Initial, firstChecks)
	}
}

func (g *Group) record(t *target, r result, checks *HealthCheck) []TargetHealth {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !t.health.record(time.Now(), r, checks) {
		return nil
	}
	g.publish()
	return g.reports([]*target{t})
}

// expire ends the draining of a target whose delay has run out: what it has not
// finished is cut.
func (g *Group) expire(t *target) {
	changed := g.forget(t)
	if changed == nil {
		return
	}
	t.cut(&Error{http.StatusBadGateway, ReasonDeregistered, nil})
	g.registry.releaseTarget(g.name, t.address)
	g.notify(changed)
}

// forget removes a draining target, unless it has been registered again or Close
// has come first.
func (g *Group) forget(t *target) []TargetHealth {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(g.draining, t)
	if i < 0 || g.closed || time.Now().Before(t.drainUntil) {
		return nil
	}
	g.draining = slices.Delete(g.draining, i, i+1)
	t.health.set(time.Now(), Unused, deregistered)
	return g.reports([]*target{t})
}

// sleep reports whether the time passed before ctx ended.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
