// Command privatelink stands in for a network load balancer with AWS PrivateLink:
// it passes TCP connections through and puts a PROXY protocol v2 header in front
// of each, with the id of a VPC endpoint in it.
//
//	go run ./examples/privatelink -listen 127.0.0.1:8442 -to 127.0.0.1:8443
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"sync"

	"github.com/pires/go-proxyproto"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8442", "where clients connect to")
	to := flag.String("to", "127.0.0.1:8443", "where Postern listens")
	endpoint := flag.String("endpoint", "vpce-0123456789abcdef0", "the VPC endpoint that clients come through")
	flag.Parse()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(forward(ln, *to, *endpoint))
}

// forward passes the connections of ln on until ln is closed.
func forward(ln net.Listener, to, endpoint string) error {
	for {
		client, err := ln.Accept()
		if err != nil {
			return err
		}
		go pass(client, to, endpoint)
	}
}

// pass announces one client and copies both ways until both sides have ended.
func pass(client net.Conn, to, endpoint string) {
	defer client.Close()
	server, err := net.Dial("tcp", to)
	if err != nil {
		log.Print(err)
		return
	}
	defer server.Close()
	if err := announce(server, client, endpoint); err != nil {
		log.Print(err)
		return
	}
	var both sync.WaitGroup
	both.Go(func() { copyHalf(server, client) })
	both.Go(func() { copyHalf(client, server) })
	both.Wait()
}

// The TLV in which AWS sends the endpoint: its type, and the first byte of its
// value, which says that an endpoint id follows.
const (
	typeAWS         = 0xEA
	subtypeEndpoint = 0x01
)

func announce(server, client net.Conn, endpoint string) error {
	header := proxyproto.HeaderProxyFromAddrs(2, client.RemoteAddr(), client.LocalAddr())
	value := append([]byte{subtypeEndpoint}, endpoint...)
	if err := header.SetTLVs([]proxyproto.TLV{{Type: typeAWS, Value: value}}); err != nil {
		return err
	}
	_, err := header.WriteTo(server)
	return err
}

// copyHalf copies until from ends, then ends to in that direction.
func copyHalf(to, from net.Conn) {
	io.Copy(to, from) // an error ends the direction like an end does
	if tcp, ok := to.(*net.TCPConn); ok {
		tcp.CloseWrite()
	}
}
