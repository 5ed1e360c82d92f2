package ocsp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// newClient makes a client that goes nowhere but where it is sent: no redirects, no proxy,
// and no address of this machine or its neighbours unless it is written as such.
func newClient(c *Checker) *http.Client {
	dialer := &net.Dialer{Timeout: c.Timeout, Control: func(_, address string, _ syscall.RawConn) error { return c.mayDial(address) }}
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableCompression: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
			TLSHandshakeTimeout: c.Timeout, MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// mayDial refuses addresses that a name on the list must not lead to: whoever has the
// name could otherwise have us ask this machine, or the metadata service of a cloud.
// Whoever means them writes the address itself into the list.
func (c *Checker) mayDial(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	ip := at.Addr().Unmap()
	if ip.IsGlobalUnicast() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
		return nil
	}
	if c.allowed[address] || c.allowed[ip.String()] || c.allowed[at.String()] {
		return nil
	}
	return fmt.Errorf("%s is an address of this machine or its network: write it into allowed_hosts if it is meant", ip)
}

// post sends one request and returns what came back.
func (c *Checker) post(ctx context.Context, address string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/ocsp-request")
	req.Header.Set("Accept", "application/ocsp-response")
	resp, err := c.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, MaxResponse+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > MaxResponse:
		return nil, errors.New("the answer is too large")
	}
	return data, nil
}
