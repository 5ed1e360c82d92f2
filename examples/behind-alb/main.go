// Command behind-alb is a program that runs behind a load balancer in mTLS passthrough
// mode, ALB or Postern, and judges the client certificates itself. It answers each
// request with the name of the client.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/postern-lb/postern/trust"
	"github.com/postern-lb/postern/trust/clientcert"
)

func main() {
	address := flag.String("address", "127.0.0.1:9001", "`HOST:PORT` to listen on")
	bundle := flag.String("bundle", "ca-bundle.pem", "`file` of CA certificates, PEM")
	proxies := flag.String("proxies", "127.0.0.1/32", "addresses that the load balancer connects from, with commas between")
	flag.Parse()
	handler, err := newHandler(*bundle, *proxies)
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Addr: *address, Handler: handler, ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes: clientcert.MaxHeaderBytes + 64<<10, // net/http's own limit is 1 MB
	}
	log.Fatal(server.ListenAndServe())
}

// newHandler guards the program's own handler.
func newHandler(bundle, proxies string) (http.Handler, error) {
	data, err := os.ReadFile(bundle)
	if err != nil {
		return nil, err
	}
	parsed, err := trust.ParseBundle(data, time.Now())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", bundle, err)
	}
	store := trust.NewStore("partners", trust.Options{})
	store.Publish(parsed, nil, bundle)
	config := clientcert.Config{Source: clientcert.ALB(), Store: store, Refuse: refuse}
	for text := range strings.SplitSeq(proxies, ",") {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, err
		}
		config.TrustedProxies = append(config.TrustedProxies, prefix)
	}
	guard, err := clientcert.NewMiddleware(config)
	if err != nil {
		return nil, err
	}
	return guard(http.HandlerFunc(hello)), nil
}

// hello is what the program does for clients that were accepted.
func hello(w http.ResponseWriter, r *http.Request) {
	v, _ := clientcert.From(r.Context())
	fmt.Fprintln(w, "hello", v.Identity.Subject)
}

// refuse tells the log why, and the client nothing.
func refuse(w http.ResponseWriter, r *http.Request, why *trust.Verdict) {
	log.Printf("refused %s: %s: %s", r.RemoteAddr, why.Reason, why.Detail)
	http.Error(w, "client certificate refused", http.StatusForbidden)
}
