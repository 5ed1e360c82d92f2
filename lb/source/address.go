package source

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"strings"
)

// isS3 reports whether the address is one of S3.
func (c Config) isS3() bool { return strings.HasPrefix(c.URL, "s3://") }

// bucketAndKey returns the parts of an s3:// address.
func (c Config) bucketAndKey() (bucket, key string) {
	bucket, key, _ = strings.Cut(strings.TrimPrefix(c.URL, "s3://"), "/")
	return bucket, key
}

// Name returns what the source is called in messages and metrics: its address, with a
// digest in place of a query, which may hold a secret.
func (c Config) Name() string {
	if c.isS3() {
		name := c.URL
		if c.Version != "" {
			name += "?version=" + c.Version
		}
		if c.Endpoint != "" {
			name += " at " + c.Endpoint
		}
		return name
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return "https:"
	}
	if u.RawQuery != "" {
		u.RawQuery = fmt.Sprintf("%x", sha256.Sum256([]byte(u.RawQuery)))[:8]
	}
	u.User = nil
	return u.String()
}
