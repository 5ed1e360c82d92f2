package listener

import "crypto/tls"

// A securityPolicyRow is one policy of ALB's that crypto/tls can honour.
type securityPolicyRow struct {
	name     string // without the ELBSecurityPolicy prefix
	min, max uint16
	suites   suiteSet
	groups   groupSet
}

// A refusedPolicyRow is one that it cannot, kept so that the error can explain
// and name another.
type refusedPolicyRow struct {
	name    string // without the prefix
	why     string
	instead string // the nearest honoured policy, of the same versions
}

// A suiteSet names one of the lists of TLS 1.2 cipher suites that ALB's
// policies share.
type suiteSet int

const (
	noSuites         suiteSet = iota // TLS 1.3 only
	gcmSuites                        // forward secret, AEAD
	sha2Suites                       // and CBC with SHA-2
	sha1Suites                       // and CBC with SHA-1
	sha2StaticSuites                 // sha2Suites and RSA key exchange, SHA-2 only
	allSuites                        // sha1Suites and RSA key exchange
)

type groupSet int

const (
	classical groupSet = iota
	postQuantum
)

// Why the families of policies below are refused. Inside Go's FIPS mode
// ChaCha20 does go, but so do suites that several of these policies list (CBC with
// SHA-1, RSA key exchange), and whether the module is validated depends on how
// the program was built: a name must not promise what a flag decides.
const (
	noFIPS = "it leaves out TLS_CHACHA20_POLY1305_SHA256 and requires a validated FIPS 140-3 module, " +
		"and crypto/tls cannot leave out a TLS 1.3 suite"
	noRFC9151 = "RFC 9151 prefers or requires TLS_AES_256_GCM_SHA384 and forbids TLS_CHACHA20_POLY1305_SHA256, " +
		"and crypto/tls can neither choose nor order the TLS 1.3 suites"
)

const (
	tls10 = tls.VersionTLS10
	tls11 = tls.VersionTLS11
	tls12 = tls.VersionTLS12
	tls13 = tls.VersionTLS13
)

// securityPolicies and refusedPolicies are together all named policies (ALB,
// "Security policies for your Application Load Balancer"). They are never
// modified. The rows are written out, twins included, so that each can be held
// against ALB's page.
var securityPolicies = []securityPolicyRow{
	{"TLS13-1-3-2021-06", tls13, tls13, noSuites, classical},
	{"TLS13-1-3-PQ-2025-09", tls13, tls13, noSuites, postQuantum},
	{"TLS13-1-2-2021-06", tls12, tls13, sha2Suites, classical},
	{"TLS13-1-2-PQ-2025-09", tls12, tls13, sha2Suites, postQuantum},
	{"TLS13-1-2-Res-2021-06", tls12, tls13, gcmSuites, classical},
	{"TLS13-1-2-Res-PQ-2025-09", tls12, tls13, gcmSuites, postQuantum},
	{"TLS13-1-2-Ext1-2021-06", tls12, tls13, sha2StaticSuites, classical},
	{"TLS13-1-2-Ext1-PQ-2025-09", tls12, tls13, sha2StaticSuites, postQuantum},
	{"TLS13-1-2-Ext2-2021-06", tls12, tls13, allSuites, classical},
	{"TLS13-1-2-Ext2-PQ-2025-09", tls12, tls13, allSuites, postQuantum},
	{"TLS13-1-1-2021-06", tls11, tls13, allSuites, classical},
	{"TLS13-1-0-2021-06", tls10, tls13, allSuites, classical},
	{"TLS13-1-0-PQ-2025-09", tls10, tls13, allSuites, postQuantum},
	{"TLS-1-2-Ext-2018-06", tls12, tls12, allSuites, classical},
	{"TLS-1-2-2017-01", tls12, tls12, sha2StaticSuites, classical},
	{"TLS-1-1-2017-01", tls11, tls12, allSuites, classical},
	{"2016-08", tls10, tls12, allSuites, classical},
	{"FS-1-2-Res-2020-10", tls12, tls12, gcmSuites, classical},
	{"FS-1-2-Res-2019-08", tls12, tls12, sha2Suites, classical},
	{"FS-1-2-2019-08", tls12, tls12, sha1Suites, classical},
	{"FS-1-1-2019-08", tls11, tls12, sha1Suites, classical},
	{"FS-2018-06", tls10, tls12, sha1Suites, classical},
}

var refusedPolicies = []refusedPolicyRow{
	{"TLS13-1-3-FIPS-2023-04", noFIPS, "TLS13-1-3-2021-06"},
	{"TLS13-1-3-FIPS-PQ-2025-09", noFIPS, "TLS13-1-3-PQ-2025-09"},
	{"TLS13-1-2-FIPS-2023-04", noFIPS, "TLS13-1-2-2021-06"},
	{"TLS13-1-2-FIPS-PQ-2025-09", noFIPS, "TLS13-1-2-PQ-2025-09"},
	{"TLS13-1-2-Res-FIPS-2023-04", noFIPS, "TLS13-1-2-Res-2021-06"},
	{"TLS13-1-2-Res-FIPS-PQ-2025-09", noFIPS, "TLS13-1-2-Res-PQ-2025-09"},
	{"TLS13-1-2-Ext0-FIPS-2023-04", noFIPS, "TLS13-1-2-2021-06"},
	{"TLS13-1-2-Ext0-FIPS-PQ-2025-09", noFIPS, "TLS13-1-2-PQ-2025-09"},
	{"TLS13-1-2-Ext1-FIPS-2023-04", noFIPS, "TLS13-1-2-Ext1-2021-06"},
	{"TLS13-1-2-Ext1-FIPS-PQ-2025-09", noFIPS, "TLS13-1-2-Ext1-PQ-2025-09"},
	{"TLS13-1-2-Ext2-FIPS-2023-04", noFIPS, "TLS13-1-2-Ext2-2021-06"},
	{"TLS13-1-2-Ext2-FIPS-PQ-2025-09", noFIPS, "TLS13-1-2-Ext2-PQ-2025-09"},
	{"TLS13-1-1-FIPS-2023-04", noFIPS, "TLS13-1-1-2021-06"},
	{"TLS13-1-0-FIPS-2023-04", noFIPS, "TLS13-1-0-2021-06"},
	{"TLS13-1-0-FIPS-PQ-2025-09", noFIPS, "TLS13-1-0-PQ-2025-09"},

	{"TLS13-1-3-RFC9151-FIPS-2023-07", noRFC9151, "TLS13-1-3-2021-06"},
	{"TLS13-1-2-RFC9151-FIPS-2023-07", noRFC9151, "TLS13-1-2-Res-2021-06"},
	{"TLS13-1-2-Ext0-RFC9151-FIPS-2023-07", noRFC9151, "TLS13-1-2-Res-2021-06"},
	{"TLS13-1-2-RFC9151-INTEROP1-FIPS-2023-07", noRFC9151, "TLS13-1-2-Res-2021-06"},
	{"TLS13-1-2-RFC9151-INTEROP2-FIPS-2023-07", noRFC9151, "TLS13-1-2-2021-06"},
	{"TLS13-1-2-RFC9151-INTEROP3-FIPS-2023-07", noRFC9151, "TLS13-1-2-2021-06"},
	{"TLS13-1-2-RFC9151-INTEROP4-FIPS-2023-07", noRFC9151, "TLS13-1-2-Ext2-2021-06"},
}

// ids returns the suites in ALB's order, a fresh slice. The comments name those
// of ALB's that crypto/tls has never had and that are therefore left out:
// the CBC suites with SHA-384 and RSA with AES-256-CBC-SHA256.
func (s suiteSet) ids() []uint16 {
	const (
		gcm, sha2, sha1, static, all = 1 << gcmSuites, 1 << sha2Suites,
			1 << sha1Suites, 1 << sha2StaticSuites, 1 << allSuites
	)
	var ids []uint16
	for _, suite := range [...]struct {
		id uint16
		in int
	}{
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, gcm | sha2 | sha1 | static | all},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, gcm | sha2 | sha1 | static | all},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256, sha2 | sha1 | static | all},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256, sha2 | sha1 | static | all},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, sha1 | all},
		{tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, sha1 | all},
		{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, gcm | sha2 | sha1 | static | all},
		{tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, gcm | sha2 | sha1 | static | all},
		// ECDHE-ECDSA-AES256-SHA384 (c024), ECDHE-RSA-AES256-SHA384 (c028).
		{tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, sha1 | all},
		{tls.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA, sha1 | all},
		{tls.TLS_RSA_WITH_AES_128_GCM_SHA256, static | all},
		{tls.TLS_RSA_WITH_AES_128_CBC_SHA256, static | all},
		{tls.TLS_RSA_WITH_AES_128_CBC_SHA, all},
		{tls.TLS_RSA_WITH_AES_256_GCM_SHA384, static | all},
		// AES256-SHA256 (003d).
		{tls.TLS_RSA_WITH_AES_256_CBC_SHA, all},
	} {
		if suite.in&(1<<s) != 0 {
			ids = append(ids, suite.id)
		}
	}
	return ids
}

// ids returns the groups, a fresh slice. ALB does not publish its classical
// list; ours is crypto/tls's whole. The order is crypto/tls's own whatever we
// say.
func (g groupSet) ids() []tls.CurveID {
	groups := []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	if g == postQuantum {
		return append([]tls.CurveID{tls.X25519MLKEM768, tls.SecP256r1MLKEM768, tls.SecP384r1MLKEM1024}, groups...)
	}
	return groups
}

func (row securityPolicyRow) policy() *SecurityPolicy {
	return &SecurityPolicy{
		Name:             securityPolicyPrefix + row.name,
		MinVersion:       row.min,
		MaxVersion:       row.max,
		CipherSuites:     row.suites.ids(),
		CurvePreferences: row.groups.ids(),
	}
}
