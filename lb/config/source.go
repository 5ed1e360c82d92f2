package config

import (
	"net/netip"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/postern-lb/postern/internal/fault"
)

// A Source is where a bundle or revocation lists come from: a file, a folder, or an
// address. In the file it is a string, or a mapping for an address with options.
type Source struct {
	// Path is a file or a folder; empty if URL is set.
	Path string
	// URL is https://… or s3://BUCKET/KEY.
	URL string `yaml:"url,required,filled"`
	// Version pins a version of an S3 object.
	Version string `yaml:"version,filled"`
	// Region is that of the bucket; empty: what the AWS environment says.
	Region string `yaml:"region,filled"`
	// Endpoint is an S3-compatible server; empty: AWS.
	Endpoint       string `yaml:"endpoint,filled"`
	ForcePathStyle bool   `yaml:"force_path_style"`
	// CACertificate is a file of the only CAs to believe; empty: the system's.
	CACertificate     string `yaml:"ca_certificate,path"`
	ClientCertificate string `yaml:"client_certificate,path"`
	ClientKey         string `yaml:"client_key,path"`
	// PollInterval is the time between two attempts.
	PollInterval time.Duration `yaml:"poll_interval" range:"1s..24h"`
	// Timeout bounds one attempt.
	Timeout time.Duration `yaml:"timeout" range:"1s..10m"`
	// MaxSize bounds what is fetched, besides the limits of the kind of file.
	MaxSize Size `yaml:"max_size" range:"1KB..128MB"`
}

// FileSource returns the source that is a file or a folder.
func FileSource(path string) Source { return Source{Path: path} }

// Remote reports whether the source is fetched.
func (s Source) Remote() bool { return s.URL != "" }

// String returns the path, or the address.
func (s Source) String() string {
	if s.Remote() {
		return s.URL
	}
	return s.Path
}

// identity is equal for sources that hold the same.
func (s Source) identity() string {
	if !s.Remote() {
		return s.Path
	}
	return strings.Join([]string{s.URL, s.Version, s.Endpoint}, "\n")
}

func (s *Source) setDefaults() {
	s.PollInterval = 5 * time.Minute
	s.Timeout = 30 * time.Second
	s.MaxSize = 128 * MB
}

// source decodes a string or a mapping.
func (d *decoder) source(node ast.Node, path string, v reflect.Value) {
	s := v.Addr().Interface().(*Source)
	if _, isMapping := entriesOf(node); isMapping {
		d.mapping(node, path, v)
		return
	}
	if str, ok := text(node); ok && strings.Contains(str, "://") {
		s.setDefaults()
		s.URL = str
		return
	}
	if _, ok := text(node); !ok {
		d.add(d.places[path], path, "%s", expected("a path, an address, or a mapping with url", node)+stringRemedy(node))
		return
	}
	d.scalar(node, path, field{path: true}, reflect.ValueOf(&s.Path).Elem())
}

// source checks what the keys of a source say about each other.
func (v *validator) source(path string, s Source) {
	if !s.Remote() || v.unread(path) {
		return
	}
	at := path
	if _, ok := v.places[fault.Join(path, "url")]; ok {
		at = fault.Join(path, "url")
	}
	if v.unread(at) {
		return
	}
	if v.file.StateDirectory == "" && !v.unread("state_directory") {
		v.refuse(at, "%s", "what is fetched is kept on disk, so that a restart does not depend on its server: set state_directory")
	}
	switch scheme, _, _ := strings.Cut(s.URL, "://"); scheme {
	case "https":
		v.httpsSource(path, at, s)
	case "s3":
		v.s3Source(path, at, s)
	case "http":
		v.refuse(at, "anybody on the way could replace what comes over http://: use https://")
	default:
		v.refuse(at, "expected https:// or s3://, or the path of a file; found %s", quoteText(s.URL))
	}
	if (s.ClientCertificate == "") != (s.ClientKey == "") {
		v.refuse(path, "client_certificate and client_key belong together: set both or neither")
	}
}

func (v *validator) httpsSource(path, at string, s Source) {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Hostname() == "" || u.Fragment != "":
		v.refuse(at, "expected https://HOST/PATH without a fragment")
	case u.User != nil:
		v.refuse(at, "an address with a password ends up in logs: use client_certificate, or a server that needs none")
	}
	for key, set := range map[string]bool{
		"version": s.Version != "", "region": s.Region != "", "endpoint": s.Endpoint != "", "force_path_style": s.ForcePathStyle,
	} {
		if set {
			v.refuse(fault.Join(path, key), "%s belongs to s3:// addresses only: leave it out", key)
		}
	}
}

func (v *validator) s3Source(path, at string, s Source) {
	bucket, key, _ := strings.Cut(strings.TrimPrefix(s.URL, "s3://"), "/")
	if bucket == "" || key == "" {
		v.refuse(at, "expected s3://BUCKET/KEY; found %s", quoteText(s.URL))
	}
	if s.Endpoint == "" {
		return
	}
	u, err := url.Parse(s.Endpoint)
	if err != nil || u.Hostname() == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http") {
		v.refuse(fault.Join(path, "endpoint"), "expected https://HOST:PORT; found %s", quoteText(s.Endpoint))
		return
	}
	if ip, err := netip.ParseAddr(u.Hostname()); u.Scheme == "http" && (err != nil || !ip.IsLoopback()) {
		v.refuse(fault.Join(path, "endpoint"), "anybody on the way could replace what comes over http://: use https://, or a loopback address")
	}
}
