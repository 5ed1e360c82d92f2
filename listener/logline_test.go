package listener

import (
	"crypto/tls"
	"strings"
	"testing"
	"testing/quick"
	"time"
	"unicode/utf8"
)

// opensslName derives OpenSSL's name of a suite from IANA's.
func opensslName(iana string) string {
	if !strings.Contains(iana, "_WITH_") {
		return iana // TLS 1.3
	}
	return strings.TrimPrefix(strings.NewReplacer(
		"TLS_RSA_WITH_", "", "TLS_", "", "_WITH_", "-", "POLY1305_SHA256", "POLY1305",
		"AES_128_CBC_", "AES128-", "AES_256_CBC_", "AES256-", "AES_128_", "AES128-", "AES_256_", "AES256-",
		"3DES_EDE_CBC", "DES-CBC3", "RC4_128", "RC4", "_", "-",
	).Replace(iana), "-")
}

func TestCipherNameKnowsEverySuiteOfGo(t *testing.T) {
	for _, suite := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		if got, want := CipherName(suite.ID), opensslName(suite.Name); got != want {
			t.Errorf("CipherName(%s) = %q, want %q", suite.Name, got, want)
		}
	}
	if got := CipherName(0xc028); got != "" {
		t.Errorf("a suite that Go does not have is called %q", got)
	}
}

func TestCipherNameOfALBsPolicies(t *testing.T) {
	for id, want := range map[uint16]string{
		0x1301: "TLS_AES_128_GCM_SHA256", 0xc02b: "ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02f: "ECDHE-RSA-AES128-GCM-SHA256",
		0xc023: "ECDHE-ECDSA-AES128-SHA256", 0xc014: "ECDHE-RSA-AES256-SHA", 0x009c: "AES128-GCM-SHA256", 0x0035: "AES256-SHA",
	} {
		if got := CipherName(id); got != want {
			t.Errorf("CipherName(%#04x) = %q, want %q", id, got, want)
		}
	}
}

func TestTLSVersionAndKeyExchangeNames(t *testing.T) {
	for version, want := range map[uint16]string{
		tls.VersionTLS10: "TLSv1", tls.VersionTLS11: "TLSv1.1", tls.VersionTLS12: "TLSv1.2", tls.VersionTLS13: "TLSv1.3", 0x0300: "",
	} {
		if got := TLSVersionName(version); got != want {
			t.Errorf("TLSVersionName(%#04x) = %q, want %q", version, got, want)
		}
	}
	for group, want := range map[tls.CurveID]string{
		tls.X25519: "X25519", tls.CurveP256: "secp256r1", tls.CurveP384: "secp384r1", tls.CurveP521: "secp521r1",
		tls.X25519MLKEM768: "X25519MLKEM768", tls.SecP256r1MLKEM768: "SecP256r1MLKEM768",
		tls.SecP384r1MLKEM1024: "SecP384r1MLKEM1024", 1: "",
	} {
		if got := KeyExchangeName(group); got != want {
			t.Errorf("KeyExchangeName(%d) = %q, want %q", group, got, want)
		}
	}
}

func TestAppendLogTimeAgreesWithTheStandardLibrary(t *testing.T) {
	same := func(seconds uint32, ns uint32) bool {
		at := time.Unix(int64(seconds), int64(ns%1e9))
		return string(appendLogTime(nil, at)) == at.UTC().Format("2006-01-02T15:04:05.000000Z")
	}
	if err := quick.Check(same, nil); err != nil {
		t.Error(err)
	}
}

func TestCutUTF8(t *testing.T) {
	for _, tt := range []struct {
		s     string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abc", 2, "ab"}, {"a\u00e4b", 2, "a"}, {"a\u00e4b", 3, "a\u00e4"},
		{"\U0001f600x", 3, ""}, {"\U0001f600x", 4, "\U0001f600"},
		{"\x80\x80\x80", 1, "\x80"},
		{"\x80\x80\x80\x80\x80\x80", 4, "\x80\x80\x80\x80"}, // not UTF-8: nothing to save
	} {
		got := cutUTF8(tt.s, tt.limit)
		if got != tt.want || utf8.ValidString(tt.s) && !utf8.ValidString(got) {
			t.Errorf("cutUTF8(%q, %d) = %q, want %q", tt.s, tt.limit, got, tt.want)
		}
	}
}
