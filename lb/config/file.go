package config

import "time"

// File is the whole desired state that one config file describes. Every
// default is filled in. A File is plain data: treat it as read-only once it is
// handed to another package, because rows of it are kept as they are.
type File struct {
	Admin        Admin         `yaml:"admin"`
	LoadBalancer LoadBalancer  `yaml:"load_balancer"`
	Listeners    []Listener    `yaml:"listeners,required"`
	TargetGroups []TargetGroup `yaml:"target_groups"`
	TrustStores  []TrustStore  `yaml:"trust_stores"`
	Logs         Logs          `yaml:"logs"`
	// StateDirectory is where Postern keeps what should outlive the process; empty:
	// nothing does.
	StateDirectory string `yaml:"state_directory,path"`
	// SeenClients bounds what is remembered of the clients that were let in.
	SeenClients SeenClients `yaml:"seen_clients"`

	source *source // where each value stands in the file; nil if not parsed from one
}

// SeenClients bounds what is remembered of the clients that were let in.
type SeenClients struct {
	// Limit is how many are remembered; 0 is none.
	Limit int `yaml:"limit" range:"0..1000000"`
	// Retention is how long a client is remembered after it was seen last.
	Retention time.Duration `yaml:"retention" range:"1h..8760h"`
}

// Admin is the address of the operators' side: health, metrics, dashboard.
type Admin struct {
	// Address is HOST:PORT; port 0 lets the system choose.
	Address string `yaml:"address"`
	// AllowRemote must be true before Address may be anything but loopback.
	AllowRemote bool `yaml:"allow_remote"`
	// Profiling offers a CPU profile of the process; loopback only.
	Profiling bool `yaml:"profiling"`
	// Refusals is how many of the last refused clients are kept for the operator to
	// look up; 0 keeps none.
	Refusals int `yaml:"refusals" range:"0..10000"`
}

// LoadBalancer holds what ALB calls load balancer attributes (ALB, "Edit load
// balancer attributes"), by Terraform's names for them.
type LoadBalancer struct {
	// Name stands in the elb field of the logs as app/NAME/ID.
	Name                                  string            `yaml:"name"`
	IdleTimeout                           time.Duration     `yaml:"idle_timeout" range:"1s..4000s"`
	ClientKeepAlive                       time.Duration     `yaml:"client_keep_alive" range:"60s..604800s"`
	EnableHTTP2                           bool              `yaml:"enable_http2"`
	DropInvalidHeaderFields               bool              `yaml:"drop_invalid_header_fields"`
	PreserveHostHeader                    bool              `yaml:"preserve_host_header"`
	XFFHeaderProcessingMode               XFFProcessingMode `yaml:"xff_header_processing_mode"`
	EnableXFFClientPort                   bool              `yaml:"enable_xff_client_port"`
	EnableTLSVersionAndCipherSuiteHeaders bool              `yaml:"enable_tls_version_and_cipher_suite_headers"`
	// DrainTimeout bounds how long requests in flight may go on after the
	// process was told to stop.
	DrainTimeout time.Duration `yaml:"drain_timeout" range:"0s..3600s"`
}

// XFFProcessingMode says what becomes of an X-Forwarded-For header.
type XFFProcessingMode string

// The modes of ALB's routing.http.xff_header_processing.mode.
const (
	XFFAppend   XFFProcessingMode = "append"
	XFFPreserve XFFProcessingMode = "preserve"
	XFFRemove   XFFProcessingMode = "remove"
)

func (XFFProcessingMode) values() []string {
	return []string{string(XFFAppend), string(XFFPreserve), string(XFFRemove)}
}

// TrustStore names what says which client certificates to believe.
type TrustStore struct {
	Name string `yaml:"name,required,filled"`
	// CACertificatesBundle has the CA certificates, PEM.
	CACertificatesBundle Source `yaml:"ca_certificates_bundle,required"`
	// Revocations have the CRLs, PEM or DER.
	Revocations []Source `yaml:"revocations"`
	// RevocationPolicy says what a missing and an expired list mean.
	RevocationPolicy RevocationPolicy `yaml:"revocation_policy"`
	// VersionsToKeep is how many versions of bundle and lists can be gone back to.
	VersionsToKeep int `yaml:"versions_to_keep" range:"1..100"`
	// OCSP says whether responders are asked.
	OCSP OCSP `yaml:"ocsp"`
	// CRLDistributionPoints says whether lists are fetched from where certificates say.
	CRLDistributionPoints CRLDistributionPoints `yaml:"crl_distribution_points"`
}

// Logs says which logs are written; a nil entry is not written.
type Logs struct {
	Connection *Log `yaml:"connection"`
	Access     *Log `yaml:"access"`
}

// Log is one log file.
type Log struct {
	// Path is a file, or "-" for standard output.
	Path   string    `yaml:"path,required,filled,path"`
	Format LogFormat `yaml:"format"`
	// MaxSize is the size at which the file is rotated.
	MaxSize Size `yaml:"max_size" range:"1MB..1TB"`
	// MaxBackups is how many rotated files are kept.
	MaxBackups int `yaml:"max_backups" range:"0..1000"`
	// Queue is how many lines may wait for the disk before lines are dropped.
	Queue int `yaml:"queue" range:"1..1048576"`
}

// LogFormat is the form of one log line.
type LogFormat string

// The formats: ALB's space-separated fields, or one JSON object a line.
const (
	LogALB  LogFormat = "alb"
	LogJSON LogFormat = "json"
)

func (LogFormat) values() []string { return []string{string(LogALB), string(LogJSON)} }

// Size is a number of bytes. In the file it is a bare integer of bytes, or an
// integer with KB, MB, GB or TB (powers of 1024).
type Size int64

// The units of a Size.
const (
	KB Size = 1 << (10 * (iota + 1))
	MB
	GB
	TB
)

// OnOff is a switch that ALB spells with words.
type OnOff string

// The two positions of an OnOff.
const (
	On  OnOff = "on"
	Off OnOff = "off"
)

func (OnOff) values() []string { return []string{string(On), string(Off)} }
