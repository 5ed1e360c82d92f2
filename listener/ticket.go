package listener

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"sync"
	"time"
)

const (
	// ticketMaxAge is how long after the client last proved possession of its
	// key a session may still be resumed. Re-issued tickets do not extend it:
	// they carry the first time on.
	ticketMaxAge = 8 * time.Hour
	// ticketKeyLife is how long one key seals tickets. It opens them for as
	// long again.
	ticketKeyLife = 8 * time.Hour

	ticketVersion   = 1
	ticketHeaderLen = 1 + 8 + 1 // version, first authentication, has a client certificate
	ticketKeyIDLen  = 4
)

// ticketKeys seals and opens the session tickets of one mutual TLS policy.
// Each policy has keys of its own, so that a ticket from elsewhere cannot even
// be opened; the scope that goes into the seal says the same a second time. It
// is safe for concurrent use.
type ticketKeys struct {
	now func() time.Time

	mu       sync.Mutex
	current  *ticketKey
	previous *ticketKey
}

type ticketKey struct {
	id   uint32
	aead cipher.AEAD
	made time.Time
}

func newTicketKeys(now func() time.Time) *ticketKeys {
	return &ticketKeys{now: now, current: newTicketKey(now())}
}

func newTicketKey(now time.Time) *ticketKey {
	var material [ticketKeyIDLen + 32]byte
	rand.Read(material[:]) // never fails: crypto/rand crashes the program instead
	block, err := aes.NewCipher(material[ticketKeyIDLen:])
	if err != nil {
		panic("listener: internal error: " + err.Error())
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("listener: internal error: " + err.Error())
	}
	return &ticketKey{id: binary.BigEndian.Uint32(material[:]), aead: aead, made: now}
}

// seal encrypts plaintext for the given scope.
func (k *ticketKeys) seal(plaintext, scope []byte) []byte {
	key := k.sealing()
	out := binary.BigEndian.AppendUint32(make([]byte, 0, ticketKeyIDLen+len(plaintext)+key.aead.Overhead()), key.id)
	return key.aead.Seal(out, nil, plaintext, scope)
}

// open returns the plaintext, or nil if the ticket is not ours, too old, or was
// sealed for another scope.
func (k *ticketKeys) open(ticket, scope []byte) []byte {
	if len(ticket) < ticketKeyIDLen {
		return nil
	}
	key := k.opening(binary.BigEndian.Uint32(ticket))
	if key == nil {
		return nil
	}
	plaintext, err := key.aead.Open(nil, nil, ticket[ticketKeyIDLen:], scope)
	if err != nil {
		return nil
	}
	return plaintext
}

func (k *ticketKeys) sealing() *ticketKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now := k.now(); now.Sub(k.current.made) > ticketKeyLife {
		k.previous, k.current = k.current, newTicketKey(now)
	}
	return k.current
}

func (k *ticketKeys) opening(id uint32) *ticketKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range []*ticketKey{k.current, k.previous} {
		if key != nil && key.id == id && k.now().Sub(key.made) <= 2*ticketKeyLife {
			return key
		}
	}
	return nil
}

// wrapSession seals the session of c. The time of the first authentication is
// the one the session came with, if it was itself resumed.
func (c *conn) wrapSession(cs tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
	state, err := session.Bytes()
	if err != nil {
		return nil, err
	}
	if c.firstAuth.IsZero() {
		c.firstAuth = c.policy.now()
	}
	plaintext := make([]byte, ticketHeaderLen, ticketHeaderLen+len(state))
	plaintext[0] = ticketVersion
	binary.BigEndian.PutUint64(plaintext[1:], uint64(c.firstAuth.Unix()))
	if len(cs.PeerCertificates) > 0 {
		plaintext[9] = 1
	}
	return c.policy.tickets.seal(append(plaintext, state...), c.ticketScope(cs.ServerName)), nil
}

// unwrapSession opens a ticket. Whatever is not exactly as it was (listener,
// server name, any part of the policy, the trust store's certificates, the age)
// declines the ticket, never the connection: a full handshake follows.
func (c *conn) unwrapSession(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
	plaintext := c.policy.tickets.open(ticket, c.ticketScope(cs.ServerName))
	if len(plaintext) < ticketHeaderLen || plaintext[0] != ticketVersion {
		return nil, nil
	}
	firstAuth := time.Unix(int64(binary.BigEndian.Uint64(plaintext[1:])), 0)
	if age := c.policy.now().Sub(firstAuth); age > ticketMaxAge || age < -time.Minute {
		return nil, nil
	}
	// A client that had no certificate then may have one now; resuming would hide
	// it, since a resumed handshake asks for none.
	if plaintext[9] == 0 && c.policy.mtls.Mode != ModeOff {
		return nil, nil
	}
	session, err := tls.ParseSessionState(plaintext[ticketHeaderLen:])
	if err != nil {
		return nil, nil
	}
	c.firstAuth = firstAuth
	return session, nil
}

// ticketScope is bound into each ticket as additional data.
func (c *conn) ticketScope(serverName string) []byte {
	scope := append(make([]byte, 0, 2*len(c.policy.digest)+len(serverName)), c.policy.digest[:]...)
	if store := c.policy.mtls.Store; store != nil {
		digest := store.Snapshot().Digest()
		scope = append(scope, digest[:]...)
	}
	return append(scope, serverName...)
}
