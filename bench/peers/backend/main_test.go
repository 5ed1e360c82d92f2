package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestBackendAnswersInTurn(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	go serve(server, answer(128), answer(10<<10))
	reader := bufio.NewReader(client)
	for path, size := range map[string]int64{"/": 128, "/128": 128, "/10k": 10240, "/10k?x": 10240, "/healthz": 128} {
		if _, err := fmt.Fprintf(client, "GET %s HTTP/1.1\r\nHost: a\r\nX: %s\r\n\r\n", path, strings.Repeat("y", 9000)); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, response.Body); err != nil || n != size || response.StatusCode != 200 {
			t.Errorf("%s: status %d, %d bytes, %v; want %d", path, response.StatusCode, n, err, size)
		}
	}
}

func TestBackendEndsWhatItCannotRead(t *testing.T) {
	for _, request := range []string{"POST / HTTP/1.1\r\n\r\n", "GET /" + strings.Repeat("a", maxLine) + "\r\n\r\n"} {
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			serve(server, nil, nil)
			close(done)
		}()
		_, _ = io.WriteString(client, request) // the server may hang up half way
		<-done
		client.Close()
	}
}
