package config

import "time"

// OCSP says whether responders are asked about client certificates, beside the lists.
type OCSP struct {
	// Mode has no default: a block that is written must say it.
	Mode OCSPMode `yaml:"mode,required"`
	// Responder is asked in place of those that certificates name.
	Responder string `yaml:"responder"`
	// AllowedHosts are the hosts that certificates may name: HOST, or HOST:PORT.
	AllowedHosts []string `yaml:"allowed_hosts"`
	// Timeout bounds one query, and what a handshake waits in mode hard_fail.
	Timeout time.Duration `yaml:"timeout" range:"100ms..30s"`
	// RefreshInterval is for how long an answer counts at most.
	RefreshInterval time.Duration `yaml:"refresh_interval" range:"1s..24h"`
	// CacheEntries bounds how many certificates are remembered.
	CacheEntries int `yaml:"cache_entries" range:"100..1000000"`
}

// OCSPMode says what it means that no responder answers.
type OCSPMode string

// The modes.
const (
	OCSPOff  OCSPMode = "off"
	OCSPSoft OCSPMode = "soft_fail"
	OCSPHard OCSPMode = "hard_fail"
)

func (OCSPMode) values() []string {
	return []string{string(OCSPOff), string(OCSPSoft), string(OCSPHard)}
}

// CRLDistributionPoints says whether the lists are fetched that certificates name as their
// distribution points. Without hosts none is.
type CRLDistributionPoints struct {
	// AllowedHosts are the hosts that certificates may name: HOST, or HOST:PORT.
	AllowedHosts []string `yaml:"allowed_hosts,required,filled"`
	// RefreshInterval is the time between two fetches of a list.
	RefreshInterval time.Duration `yaml:"refresh_interval" range:"1s..24h"`
	// Timeout bounds one fetch.
	Timeout time.Duration `yaml:"timeout" range:"100ms..10m"`
	// MaxSize is the largest list.
	MaxSize Size `yaml:"max_size" range:"1KB..128MB"`
}
