// Command target is an HTTP server to forward to. It answers with its name, the
// request line and the headers that tell a target who the client is.
//
//	go run ./examples/target -address 127.0.0.1:9001 -name orders
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"slices"
	"strings"
	"time"
)

func main() {
	address := flag.String("address", "127.0.0.1:9001", "where to listen")
	name := flag.String("name", "target", "what to answer as")
	flag.Parse()
	server := &http.Server{Addr: *address, Handler: echo(*name), ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// echo answers with what arrived.
func echo(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintf(w, "%s got %s %s\n", name, r.Method, r.URL)
		var lines []string
		for key, values := range r.Header {
			if strings.HasPrefix(key, "X-Amzn-Mtls-") || strings.HasPrefix(key, "X-Forwarded-") {
				lines = append(lines, fmt.Sprintf("%s: %s\n", key, strings.Join(values, ", ")))
			}
		}
		slices.Sort(lines)
		fmt.Fprint(w, strings.Join(lines, ""))
	})
}
