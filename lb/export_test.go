package lb

import "time"

// SetClock makes now the clock of what b tells of expiry. Nothing may be running.
func SetClock(b *LoadBalancer, now func() time.Time) { b.now = now }
