package crl_test

import (
	"encoding/binary"
	mathrand "math/rand/v2"

)

const million = 1_000_000

// bigEntries is n entries with serials of 20 bytes, which start with 0x40 and are
// random but for their number i in the last four bytes. Every one has 39 bytes.
func bigEntries(n int) []byte {
	entry := anEntry("40" + "00000000000000000000000000000000000000")
	const serialAt = 4
	random := mathrand.NewChaCha8([32]byte{})
	all := make([]byte, 0, n*len(entry))
	for i := range n {
		random.Read(entry[serialAt+1 : serialAt+16])
		binary.BigEndian.PutUint32(entry[serialAt+16:], uint32(i))
		all = append(all, entry...)
	}
	return all
}
