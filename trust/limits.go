package trust

import "time"

// Limits on what a client may present. They are checked before any signature
// is, so that a stranger cannot buy much work with one handshake.
const (
	// DefaultMaxDepth is how many certificates a client may send when the
	// policy names no number: ALB's fixed "maximum chain depth" of 4, counted
	// on the wire (leaf included, trust store certificate not included).
	DefaultMaxDepth = 4
	// LargestMaxDepth is the largest depth that a policy may ask for.
	LargestMaxDepth = 10
	// MaxCertificateBytes is the largest certificate, presented or in a
	// bundle: 16 KB (ALB, Quotas).
	MaxCertificateBytes = 16 << 10
	// MaxChainBytes is the most that all presented certificates together may
	// take: 64 KB (ALB, Quotas, "TLS message size").
	MaxChainBytes = 64 << 10
	// MaxAlternativeNames is how many subject alternative names one presented
	// certificate may hold.
	MaxAlternativeNames = 1000
	// MaxNameConstraints is how many permitted and excluded names one
	// presented certificate may hold.
	MaxNameConstraints = 500
	// MaxSubjectAttributes is how many attributes a subject or an issuer may
	// hold.
	MaxSubjectAttributes = 100
	// MaxExtensions is how many extensions one presented certificate may hold.
	MaxExtensions = 100
	// MaxPolicies is how many policies and policy mappings together one
	// presented certificate may hold.
	MaxPolicies = 100
)

// Bounds on keys: "Mutual authentication with TLS in Application Load
// Balancer", supported certificates.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Limits on a CA bundle.
const (
	// MaxBundleBytes is the largest bundle file.
	MaxBundleBytes = 16 << 20
	// MaxBundleCertificates is how many certificates a bundle may hold.
	MaxBundleCertificates = 1000
	// QuotaBundleCertificates is ALB's default quota of CA certificates per
	// trust store. It is adjustable there, so more is a warning here.
	QuotaBundleCertificates = 25
	// QuotaSubjectBytes is ALB's default quota of CA subject bytes per trust
	// store, counted as TLS lists them: the DER of each subject and two bytes.
	QuotaSubjectBytes = 10_000
	// MaxBundleFaults is how many faults of one bundle are reported.
	MaxBundleFaults = 100
)

// Limits on identity filters.
const (
	// MaxFilters is how many identity filters a policy may hold.
	MaxFilters = 100
	// MaxPatternBytes is the longest value of a filter.
	MaxPatternBytes = 255
	// MaxFilterPatterns is how many values with wildcards and address ranges the
	// filters of a policy may hold together: each of them costs time at every
	// handshake.
	MaxFilterPatterns = 256
	// MaxFilterValues is how many other values, such as pins, they may hold. However
	// many, they cost one look-up a kind.
	MaxFilterValues = 50_000
)

// Limits on the memo and on concurrent work.
const (
	// DefaultMemoEntries is how many accepted chains a store remembers.
	DefaultMemoEntries = 8192
	// LargestMemoEntries is the most that Options may ask for.
	LargestMemoEntries = 1 << 20
	// DefaultMemoBytes is how much certificate data the memo may hold; entries
	// are dropped early when clients' certificates are unusually large.
	DefaultMemoBytes = 64 << 20
	// DefaultVerifyWait is how long a handshake waits for its turn when as many
	// verifications run as may.
	DefaultVerifyWait = 3 * time.Second

	// maxVariants is how many entries may share one leaf: a client that sends
	// its certificate with ever other company replaces its own entries only.
	maxVariants = 4
	// memoShards is how many locks the memo is split over.
	memoShards = 32
	// maxInterned is how many intermediates the entries of a memo share.
	maxInterned = 256
	// maxIssuerTries is how many bundle certificates of one name are tried as
	// the issuer of another bundle certificate.
	maxIssuerTries = 32
)
