package http2

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/postern-lb/postern/internal/engine"
	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// seedBlocks are header blocks as an encoder makes them.
func seedBlocks() [][]byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for _, f := range [][2]string{
		{":method", "GET"}, {":path", "/a/b?c=d&e=%20"}, {"user-agent", "fuzz/1.0 (x; \x7f)"}, {"cookie", "a=\xff\xfe{}|~^"},
		{"x-request-id", "0123456789abcdef"}, {"x-request-id", "0123456789abcdef"},
	} {
		enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	enc.SetMaxDynamicTableSize(100)
	enc.WriteField(hpack.HeaderField{Name: "secret", Value: "x", Sensitive: true})
	return [][]byte{b.Bytes(), {0x82, 0x86, 0x84}, {0x3f, 0xe1, 0x1f}, {0xff, 0xff, 0xff, 0xff, 0x0f}, {0x40, 0x01, 'a', 0x81, 0x1f}}
}

// FuzzDecode compares our decoder with that of golang.org/x/net, over blocks that
// follow one another: where both read a block they must find the same fields.
func FuzzDecode(f *testing.F) {
	for _, b := range seedBlocks() {
		f.Add(b, b)
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		ours := newDecoder()
		theirs := hpack.NewDecoder(maxTable, nil)
		for _, block := range [][]byte{first, second} {
			var h headerBlock
			h.reset(1<<30, 1<<30)
			err := ours.decode(block, &h)
			want, oracleErr := theirs.DecodeFull(block)
			if err != nil || oracleErr != nil {
				// Ours also refuses integers that need more than 28 bits, a size that is
				// set late, and a Huffman code that is padded too long.
				if err == nil {
					t.Fatalf("%x is read, but the oracle says %v", block, oracleErr)
				}
				return
			}
			h.seal()
			var got []hpack.HeaderField
			for _, f := range h.fields {
				got = append(got, hpack.HeaderField{Name: f.name.lower, Value: f.value})
			}
			for i := range want {
				want[i].Sensitive = false
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%x: got %q, want %q", block, got, want)
			}
			if ours.size > ours.limit || ours.size < 0 {
				t.Fatalf("the table holds %d bytes of %d", ours.size, ours.limit)
			}
		}
	})
}

// FuzzHuffman holds that what is encoded is decoded to the same, and that ours
// refuses what the other decoder refuses.
func FuzzHuffman(f *testing.F) {
	for _, s := range []string{"", "www.example.com", "{}|~^", "\x00\xff", strings.Repeat("a", 100)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := appendHuffman([]byte("before"), hpack.AppendHuffmanString(nil, string(b)))
		if err != nil || string(got) != "before"+string(b) {
			t.Fatalf("%q became %q, %v", b, got, err)
		}
		got, err = appendHuffman(nil, b)
		want, oracleErr := hpack.HuffmanDecodeToString(b)
		if (err == nil) != (oracleErr == nil) || err == nil && string(got) != want {
			t.Fatalf("%x: got %q, %v; want %q, %v", b, got, err, want, oracleErr)
		}
	})
}

// FuzzEncode holds that a field which is sent is read as that field, without spaces at
// its ends and with control characters replaced.
func FuzzEncode(f *testing.F) {
	f.Add("Content-Type", "text/html")
	f.Add("X-Odd", " a\r\nb: c\x00 ")
	f.Add("Set-Cookie", strings.Repeat("v", 300))
	f.Fuzz(func(t *testing.T, name, value string) {
		if !engine.IsToken(name) {
			return
		}
		fields, err := hpack.NewDecoder(0, nil).DecodeFull(appendField(nil, name, value))
		if err != nil || len(fields) != 1 || !strings.EqualFold(fields[0].Name, name) || fields[0].Name != strings.ToLower(name) {
			t.Fatalf("%q: %q became %q, %v", name, value, fields, err)
		}
		if got := fields[0].Value; !validValue(got) || len(got) > len(value) || validValue(value) && got != value {
			t.Fatalf("%q became %q", value, got)
		}
	})
}

// FuzzFrames sends bytes to a server after a proper preface. Whatever they are, the
// server must not panic, must end with the connection, and send nothing but well-formed
// frames, on streams that the client has opened.
func FuzzFrames(f *testing.F) {
	for _, seed := range frameSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		s := &Server{Handler: http.HandlerFunc(script), Malformed: http.NotFoundHandler(), Recycle: true,
			Limits: Limits{Streams: 5, HeaderList: 2000, HeaderBlock: 3000, HeaderMemory: 5000, StreamWindow: 1000, Resets: 10, IdleFrames: 50}}
		near, far := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			s.ServeConn(context.Background(), far)
		}()
		answered := make(chan []byte)
		go func() {
			b, _ := io.ReadAll(near)
			answered <- b
		}()
		io.WriteString(near, preface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		near.Write(input)
		// Let it answer: it has when it reads on, or is gone.
		near.Write([]byte{0, 0, 8, framePing, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
		near.Close()
		checkAnswers(t, <-answered, opened(input))
		select {
		case <-served:
		case <-time.After(hangGuard):
			t.Fatal("the server does not end")
		}
		if n := len(s.conns) + len(s.workers.idle); n > 0 {
			t.Fatalf("%d connections or workers are left", n)
		}
	})
}

// opened returns the streams that have HEADERS or DATA in the bytes, or are
// otherwise named by a frame, and so may be reset.
func opened(b []byte) map[uint32]bool {
	streams := make(map[uint32]bool)
	for len(b) >= frameHeaderLen {
		length := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
		streams[binary.BigEndian.Uint32(b[5:])&maxStreamID] = true
		b = b[min(len(b), frameHeaderLen+length):]
	}
	return streams
}

func checkAnswers(t *testing.T, b []byte, streams map[uint32]bool) {
	framer := xhttp2.NewFramer(nil, bytes.NewReader(b))
	framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	for {
		frame, err := framer.ReadFrame()
		if err == io.EOF || err == io.ErrUnexpectedEOF { // cut off by the end of the connection
			return
		}
		if err != nil {
			t.Fatalf("the server sent what is no frame: %v", err)
		}
		h := frame.Header()
		if h.StreamID != 0 && !streams[h.StreamID] {
			t.Fatalf("%v is on a stream that the client has not named", frame)
		}
		switch f := frame.(type) {
		case *xhttp2.MetaHeadersFrame:
			if status := f.PseudoValue("status"); !f.StreamEnded() && status == "" {
				t.Fatalf("%v has no status", f)
			}
		case *xhttp2.GoAwayFrame:
			if f.ErrCode == xhttp2.ErrCodeInternal {
				t.Fatalf("%v", f)
			}
		}
	}
}

func frameSeeds() [][]byte {
	var b bytes.Buffer
	framer := xhttp2.NewFramer(&b, nil)
	framer.AllowIllegalWrites = true
	block := func(path string) []byte {
		var h bytes.Buffer
		enc := hpack.NewEncoder(&h)
		for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "a"}, {":path", path}, {"x", "y"}} {
			enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
		}
		return h.Bytes()
	}
	var seeds [][]byte
	seed := func(write func()) {
		b.Reset()
		write()
		seeds = append(seeds, bytes.Clone(b.Bytes()))
	}
	headers := func(stream uint32, path string, end, all bool) {
		framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: stream, BlockFragment: block(path), EndStream: end, EndHeaders: all})
	}
	seed(func() { headers(1, "/?tell&size=3000", true, true); headers(3, "/?size=70000", true, true) })
	seed(func() {
		headers(1, "/?read&announce&prefix&size=10", false, true)
		framer.WriteData(1, false, []byte("body"))
		framer.WriteDataPadded(1, false, []byte("body"), make([]byte, 5))
		framer.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0, 1, 't', 1, 'v'}, EndStream: true, EndHeaders: true})
	})
	seed(func() {
		headers(1, "/?size=100000", true, false)
		framer.WriteContinuation(1, true, []byte{0, 1, 'a', 1, 'b'})
		framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 10})
		framer.WriteWindowUpdate(1, 100_000)
		framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 0}, xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize, Val: 0})
		framer.WriteRSTStream(1, xhttp2.ErrCodeCancel)
		framer.WritePriority(1, xhttp2.PriorityParam{StreamDep: 3})
		framer.WriteRawFrame(framePriorityUpdate, 0, 0, []byte("\x00\x00\x00\x01u=0"))
	})
	seed(func() {
		headers(1, "no path", true, true)
		headers(3, "/?abort&flush", true, true)
		framer.WriteGoAway(0, 0, nil)
	})
	return seeds
}
