// Command backend is the target behind the servers of a comparison. It answers
// every GET with a fixed text, over HTTP/1.1 with keep-alive, at as little cost
// as we could bring it to, because it shares a core with the generator: paths
// that begin with /10k get 10,240 bytes, all others 128.
//
// With a certificate it speaks TLS itself, for the figure of a path without a proxy.
//
// It reads requests without a body and nothing else; it is no web server.
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"strings"
)

// maxLine bounds one line of a request: identity headers carry a certificate.
const maxLine = 64 << 10

func main() {
	address := flag.String("address", "127.0.0.1:0", "`address` to listen on")
	cert := flag.String("cert", "", "with -key: speak TLS with the certificates in this `file`, and ask clients for theirs")
	key := flag.String("key", "", "`file` of the key")
	flag.Parse()
	listener, err := listen(*address, *cert, *key)
	if err != nil {
		fmt.Fprintln(os.Stderr, "backend:", err)
		os.Exit(1)
	}
	small, large := answer(128), answer(10<<10)
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "backend:", err)
			os.Exit(1)
		}
		go serve(conn, small, large)
	}
}

// listen speaks TLS if it has a certificate. Clients are asked for one and not judged: the
// figure that this is for is that of a path without a proxy.
func listen(address, cert, key string) (net.Listener, error) {
	if cert == "" {
		return net.Listen("tcp", address)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	return tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert})
}

func answer(size int) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s",
		size, strings.Repeat("x", size))
}

func serve(conn net.Conn, small, large []byte) {
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, maxLine)
	for {
		isLarge, err := readRequest(reader)
		if err != nil {
			return
		}
		reply := small
		if isLarge {
			reply = large
		}
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

var errRequest = errors.New("request is no GET without a body")

// readRequest reads one request and reports whether it asks for the large answer.
func readRequest(reader *bufio.Reader) (bool, error) {
	line, err := reader.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	path, ok := bytes.CutPrefix(line, []byte("GET "))
	if !ok {
		return false, errRequest
	}
	isLarge := bytes.HasPrefix(path, []byte("/10k"))
	for len(line) > len("\r\n") {
		if line, err = reader.ReadSlice('\n'); err != nil {
			return false, err
		}
	}
	return isLarge, nil
}
