package listener

import (
	"errors"
	"hash/maphash"
	"net/netip"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	// DefaultHandshakesPerCore is how many handshakes per processor may be under way
	// on a listener, unless it says otherwise. A core does some four thousand full
	// ones a second, so that the last of them waits an eighth of a second.
	DefaultHandshakesPerCore = 512

	// knownReserve is how many times as many handshakes may be under way before
	// known clients are refused too.
	knownReserve = 2
	// pressedFrom is the part of the handshakes allowed from which on it is worth a
	// system call to find out that a client has gone.
	pressedFrom = 8

	// knownSlots bounds the memory for known addresses: 8 bytes each.
	knownSlots = 1 << 13
	// knownFor is how many minutes an address stays known.
	knownFor = 60
)

var (
	errTooManyHandshakes = errors.New("too many handshakes were under way; the client may try again")
	errClientGone        = errors.New("the client went away while its handshake waited")
)

// admission bounds the handshakes under way, from the end of the PROXY header to
// the verdict. A goroutine whose ClientHello has come waits its turn among the
// runnable ones; this is the length of that queue. Beyond it strangers are reset
// before any work is done for them, the newest first, and clients at an address
// from which somebody was lately accepted find a reserve that no stranger can
// take. It is safe for concurrent use; the zero value knows nobody.
type admission struct {
	pending atomic.Int64
	known   knownAddresses
}

// enter counts a handshake in, or reports false if there are too many. After true,
// leave must follow.
func (a *admission) enter(client netip.Addr, limit int, now time.Time) bool {
	n := a.pending.Add(1)
	if n <= int64(limit) || (n <= knownReserve*int64(limit) && a.known.has(client, now)) {
		return true
	}
	a.pending.Add(-1)
	return false
}

func (a *admission) leave() { a.pending.Add(-1) }

// pressed reports whether handshakes wait.
func (a *admission) pressed(limit int) bool { return a.pending.Load() > int64(limit/pressedFrom) }

// knownAddresses remembers addresses by hash, each in the one slot that its hash
// names. Only accepted clients write, so that strangers push nobody out; two
// addresses that share a slot push each other out, and then count as strangers.
type knownAddresses struct {
	seed  atomic.Pointer[maphash.Seed]
	slots [knownSlots]atomic.Uint64 // hash without its low 16 bits, and the minute
}

// note remembers that a client at the address was accepted.
func (k *knownAddresses) note(client netip.Addr, now time.Time) {
	hash := k.hash(client)
	slot, value := &k.slots[hash%knownSlots], stampedHash(hash, now)
	if slot.Load() != value { // a write only when needed keeps the line shared
		slot.Store(value)
	}
}

func (k *knownAddresses) has(client netip.Addr, now time.Time) bool {
	hash := k.hash(client)
	value := k.slots[hash%knownSlots].Load()
	age := uint16(stampedHash(hash, now)) - uint16(value)
	return value != 0 && value>>16 == hash>>16 && age <= knownFor
}

// hash takes an IPv6 address by its network, for a host has the whole of it.
func (k *knownAddresses) hash(client netip.Addr) uint64 {
	seed := k.seed.Load()
	if seed == nil {
		fresh := maphash.MakeSeed()
		k.seed.CompareAndSwap(nil, &fresh)
		seed = k.seed.Load()
	}
	bits := client.BitLen()
	if client.Is6() {
		bits = 64
	}
	network, _ := client.Prefix(bits)
	return maphash.Comparable(*seed, network)
}

func stampedHash(hash uint64, now time.Time) uint64 {
	return hash&^0xffff | uint64(uint16(now.Unix()/60))
}

// defaultHandshakes is the limit of a listener that names none.
func defaultHandshakes() int { return DefaultHandshakesPerCore * runtime.GOMAXPROCS(0) }
