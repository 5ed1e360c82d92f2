package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// Limits of one answer, besides its size and time.
const (
	maxHeaderBytes = 64 << 10
	dialTimeout    = 10 * time.Second
	copyPiece      = 32 << 10
)

// newClient returns a client that follows no redirect, uses no proxy, asks for no
// compression, and keeps no connection: the next attempt is minutes away.
func newClient(cfg Config) (*http.Client, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.CACertificate != "" {
		data, err := readSmall(cfg.CACertificate)
		if err != nil {
			return nil, fmt.Errorf("ca_certificate: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(data) {
			return nil, fmt.Errorf("ca_certificate: %s has no certificate in PEM", cfg.CACertificate)
		}
	}
	if cfg.ClientCertificate != "" {
		cert, err := tls.LoadX509KeyPair(cfg.ClientCertificate, cfg.ClientKey)
		if err != nil {
			return nil, fmt.Errorf("client_certificate: %w", err)
		}
		tlsConfig.Certificates = []tls.Certificate{cert}
	}
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: tlsConfig, DisableCompression: true, DisableKeepAlives: true, ForceAttemptHTTP2: true,
			DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, MaxResponseHeaderBytes: maxHeaderBytes,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// An httpsRemote is a file on a web server.
type httpsRemote struct {
	url    string
	client *http.Client
	limit  int64
}

func (h *httpsRemote) get(ctx context.Context, known *Copy, w io.Writer) (*Copy, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, h.url, nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("User-Agent", "postern")
	req.Header.Set("Accept-Encoding", "identity")
	if known != nil && known.ETag != "" {
		req.Header.Set("If-None-Match", known.ETag)
	} else if known != nil && known.LastModified != "" {
		req.Header.Set("If-Modified-Since", known.LastModified)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer resp.Body.Close()
	if err := h.checkAnswer(resp, known); err != nil {
		return nil, err
	}
	if _, err := io.CopyBuffer(&limited{w, h.limit, h.limit}, resp.Body, make([]byte, copyPiece)); err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	return &Copy{ETag: short(resp.Header.Get("ETag")), LastModified: short(resp.Header.Get("Last-Modified"))}, nil
}

// checkAnswer says why an answer has not the file, if so.
func (h *httpsRemote) checkAnswer(resp *http.Response, known *Copy) error {
	switch code := resp.StatusCode; {
	case code == http.StatusNotModified && known != nil:
		return errNotModified
	case code >= 300 && code < 400 && code != http.StatusNotModified:
		return &answerError{problem: fmt.Sprintf("the answer is %s: redirects are not followed; name the address it leads to", resp.Status)}
	case code != http.StatusOK:
		return &answerError{problem: "the answer is " + resp.Status, retry: retryAfter(resp.Header.Get("Retry-After"), time.Now())}
	}
	if encoding := resp.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		return &answerError{problem: fmt.Sprintf("the answer has the content encoding %.20q, which was not asked for", encoding)}
	}
	if resp.ContentLength > h.limit {
		return tooLarge(h.limit)
	}
	// Where only the end of the connection says that this was all, a part of a
	// bundle would pass for the whole.
	if resp.ProtoMajor == 1 && resp.ContentLength < 0 && !slices.Contains(resp.TransferEncoding, "chunked") {
		return &answerError{problem: "the answer does not tell its length, so that a part could pass for the whole"}
	}
	return nil
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(value); err == nil && seconds > 0 {
		return min(time.Duration(min(seconds, int(maxRetryAfter/time.Second)))*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(value); err == nil && at.After(now) {
		return min(at.Sub(now), maxRetryAfter)
	}
	return 0
}

// maxValidator bounds what is kept of an ETag or a date, which a server chooses.
const maxValidator = 1024

// short returns s, or nothing if it is too long to be kept.
func short(s string) string {
	if len(s) > maxValidator {
		return ""
	}
	return s
}

// withoutURL drops the address from an error: it may hold a secret, and the message
// names the source already.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
