package http2

import (
	"bytes"

	"golang.org/x/net/http2/hpack"
)

// fastBits is the length of the longest Huffman code that the table knows. All
// printable characters but a few have codes of at most so many bits.
const fastBits = 10

// A huffmanEntry is a symbol and the length of its code; 0 if that is longer.
type huffmanEntry struct{ symbol, length byte }

// huffmanTable maps the next fastBits bits to the symbol that they begin with. It is
// made from the codes that package hpack writes, and never changes.
var huffmanTable = makeHuffmanTable()

func makeHuffmanTable() *[1 << fastBits]huffmanEntry {
	var table [1 << fastBits]huffmanEntry
	for symbol := range 256 {
		// Eight in a row take as many bytes as one takes bits.
		length := int(hpack.HuffmanEncodeLength(string(bytes.Repeat([]byte{byte(symbol)}, 8))))
		if length > fastBits {
			continue
		}
		code := hpack.AppendHuffmanString(nil, string([]byte{byte(symbol)}))
		first := (int(code[0])<<8 | int(append(code, 0)[1])) >> (16 - length) << (fastBits - length)
		for i := range 1 << (fastBits - length) {
			table[first+i] = huffmanEntry{byte(symbol), byte(length)}
		}
	}
	return &table
}

// appendHuffman appends what src encodes (RFC 7541, section 5.2).
func appendHuffman(dst, src []byte) ([]byte, error) {
	start := len(dst)
	var bits uint64
	n := 0 // of bits
	for i := 0; ; {
		for n <= 56 && i < len(src) {
			bits = bits<<8 | uint64(src[i])
			n += 8
			i++
		}
		if n < fastBits {
			break
		}
		e := huffmanTable[bits>>(n-fastBits)&(1<<fastBits-1)]
		if e.length == 0 {
			return appendLongHuffman(dst[:start], src)
		}
		dst = append(dst, e.symbol)
		n -= int(e.length)
	}
	// What is left is shorter than the table's index: fill it up with ones, which
	// are padding.
	for n > 0 {
		index := (bits<<fastBits | (1<<fastBits - 1)) >> n & (1<<fastBits - 1)
		e := huffmanTable[index]
		if e.length == 0 || int(e.length) > n {
			break
		}
		dst = append(dst, e.symbol)
		n -= int(e.length)
	}
	if ones := uint64(1)<<n - 1; n >= 8 || bits&ones != ones {
		return appendLongHuffman(dst[:start], src)
	}
	return dst, nil
}

// appendLongHuffman is for text with rare characters, and finds out what is wrong with
// what is no text at all.
func appendLongHuffman(dst, src []byte) ([]byte, error) {
	w := appender{dst}
	_, err := hpack.HuffmanDecode(&w, src)
	return w.b, err
}

type appender struct{ b []byte }

// Write implements io.Writer.
func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}
