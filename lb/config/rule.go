package config

// Rule sends the requests that meet all its conditions to its action (ALB,
// "Listener rules").
type Rule struct {
	// Priority orders the rules of a listener, lowest first; no two are equal.
	Priority   int         `yaml:"priority,required" range:"1..50000"`
	Conditions []Condition `yaml:"conditions,required,filled"`
	Actions    []Action    `yaml:"actions,required,filled"`
}

// Condition is one test of a request. Exactly one field is set. Values and
// patterns are not checked here; package listener compiles them.
type Condition struct {
	HostHeader        *HostHeader        `yaml:"host_header"`
	PathPattern       *PathPattern       `yaml:"path_pattern"`
	HTTPHeader        *HTTPHeader        `yaml:"http_header"`
	HTTPRequestMethod *HTTPRequestMethod `yaml:"http_request_method"`
	QueryString       *QueryString       `yaml:"query_string"`
	SourceIP          *SourceIP          `yaml:"source_ip"`
	ClientCertificate *ClientCertificate `yaml:"client_certificate"`
}

func (Condition) union() string { return "a condition" }

// HostHeader compares the Host header.
type HostHeader struct {
	Values      []string `yaml:"values"`
	RegexValues []string `yaml:"regex_values"`
}

// PathPattern compares the path of the request.
type PathPattern struct {
	Values      []string `yaml:"values"`
	RegexValues []string `yaml:"regex_values"`
}

// HTTPHeader compares the values of one header.
type HTTPHeader struct {
	HTTPHeaderName string   `yaml:"http_header_name,required,filled"`
	Values         []string `yaml:"values"`
	RegexValues    []string `yaml:"regex_values"`
}

// HTTPRequestMethod compares the method.
type HTTPRequestMethod struct {
	Values []string `yaml:"values,required,filled"`
}

// QueryString compares the pairs of the query.
type QueryString struct {
	Values []QueryValue `yaml:"values,required,filled"`
}

// QueryValue is one pair; an empty Key matches the value of any key.
type QueryValue struct {
	Key   string `yaml:"key"`
	Value string `yaml:"value,required,filled"`
}

// SourceIP compares the address of the TCP peer with CIDR blocks.
type SourceIP struct {
	Values []string `yaml:"values,required,filled"`
}

// ClientCertificate looks at the certificate of the client. All fields that are
// given must hold.
type ClientCertificate struct {
	// Presented is whether the client sent a certificate, believed or not.
	Presented *bool `yaml:"presented"`
	// Verified is whether the trust store accepts the client.
	Verified *bool            `yaml:"verified"`
	Match    CertificateMatch `yaml:",inline"`
}

// Action is what is done with a request. Exactly one field is set.
type Action struct {
	Forward       *Forward       `yaml:"forward"`
	Redirect      *Redirect      `yaml:"redirect"`
	FixedResponse *FixedResponse `yaml:"fixed_response"`
}

func (Action) union() string { return "an action" }

// TargetGroups returns the names of the target groups that a rule or the default
// action of the listener forwards to, each once, in the order of the file.
func (l *Listener) TargetGroups() []string {
	var names []string
	seen := make(map[string]bool)
	collect := func(actions []Action) {
		for _, a := range actions {
			if a.Forward == nil {
				continue
			}
			for _, g := range a.Forward.TargetGroups {
				if !seen[g.Name] {
					seen[g.Name] = true
					names = append(names, g.Name)
				}
			}
		}
	}
	for i := range l.Rules {
		collect(l.Rules[i].Actions)
	}
	collect(l.DefaultActions)
	return names
}

// Forward sends the request to one of up to five target groups, by weight.
type Forward struct {
	TargetGroups []WeightedTargetGroup `yaml:"target_groups,required,filled"`
}

// WeightedTargetGroup names an entry of File.TargetGroups.
type WeightedTargetGroup struct {
	Name   string `yaml:"name,required,filled"`
	Weight int    `yaml:"weight" range:"0..999"`
}

// Redirect answers with another URL; the fields may hold ALB's placeholders
// such as #{host}.
type Redirect struct {
	StatusCode RedirectStatus `yaml:"status_code,required"`
	Protocol   string         `yaml:"protocol"`
	Host       string         `yaml:"host"`
	Port       string         `yaml:"port,number"`
	Path       string         `yaml:"path"`
	Query      string         `yaml:"query"`
}

// RedirectStatus is the status of a redirect as ALB spells it.
type RedirectStatus string

// The two kinds of redirect.
const (
	RedirectPermanent RedirectStatus = "HTTP_301"
	RedirectFound     RedirectStatus = "HTTP_302"
)

func (RedirectStatus) values() []string {
	return []string{string(RedirectPermanent), string(RedirectFound)}
}

// FixedResponse answers without asking any target.
type FixedResponse struct {
	StatusCode  int    `yaml:"status_code,required"`
	ContentType string `yaml:"content_type"`
	MessageBody string `yaml:"message_body"`
}
