package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

const docsFile = "../../docs/configuration.md"

// documented names the type that each section of the reference describes.
var documented = map[string]reflect.Type{
	"Top level":                           reflect.TypeFor[File](),
	"`admin`":                             reflect.TypeFor[Admin](),
	"`load_balancer`":                     reflect.TypeFor[LoadBalancer](),
	"`listeners[]`":                       reflect.TypeFor[Listener](),
	"`listeners[].certificates[]`":        reflect.TypeFor[Certificate](),
	"`listeners[].mutual_authentication`": reflect.TypeFor[MutualAuthentication](),
	"`listeners[].mutual_authentication.identity_filters[]`": reflect.TypeFor[IdentityFilter](),
	"`listeners[].proxy_protocol`":                           reflect.TypeFor[ProxyProtocol](),
	"`listeners[].timeouts`":                                 reflect.TypeFor[Timeouts](),
	"`listeners[].rules[]`":                                  reflect.TypeFor[Rule](),
	"`listeners[].rules[].conditions[]`":                     reflect.TypeFor[Condition](),
	"`….host_header`":                                        reflect.TypeFor[HostHeader](),
	"`….path_pattern`":                                       reflect.TypeFor[PathPattern](),
	"`….http_header`":                                        reflect.TypeFor[HTTPHeader](),
	"`….http_request_method`":                                reflect.TypeFor[HTTPRequestMethod](),
	"`….query_string`":                                       reflect.TypeFor[QueryString](),
	"`….query_string.values[]`":                              reflect.TypeFor[QueryValue](),
	"`….source_ip`":                                          reflect.TypeFor[SourceIP](),
	"`….client_certificate`":                                 reflect.TypeFor[ClientCertificate](),
	"Actions":                                                reflect.TypeFor[Action](),
	"`….forward`":                                            reflect.TypeFor[Forward](),
	"`….forward.target_groups[]`":                            reflect.TypeFor[WeightedTargetGroup](),
	"`….redirect`":                                           reflect.TypeFor[Redirect](),
	"`….fixed_response`":                                     reflect.TypeFor[FixedResponse](),
	"`target_groups[]`":                                      reflect.TypeFor[TargetGroup](),
	"`target_groups[].targets[]`":                            reflect.TypeFor[Target](),
	"`target_groups[].health_check`":                         reflect.TypeFor[HealthCheck](),
	"`target_groups[].target_group_health`":                  reflect.TypeFor[TargetGroupHealth](),
	"`target_groups[].target_group_health.unhealthy_state_routing`": reflect.TypeFor[UnhealthyStateRouting](),
	"`trust_stores[]`":                                 reflect.TypeFor[TrustStore](),
	"`trust_stores[].revocation_policy`":               reflect.TypeFor[RevocationPolicy](),
	"`trust_stores[].revocation_policy.authorities[]`": reflect.TypeFor[RevocationAuthority](),
	"`trust_stores[].crl_distribution_points`":         reflect.TypeFor[CRLDistributionPoints](),
	"`trust_stores[].ocsp`":                            reflect.TypeFor[OCSP](),
	"`seen_clients`":                                   reflect.TypeFor[SeenClients](),
	"`logs`":                                           reflect.TypeFor[Logs](),
	"`logs.connection` and `logs.access`":              reflect.TypeFor[Log](),
	"`trust_stores[]`: sources":                        reflect.TypeFor[Source](),
}

var tableRow = regexp.MustCompile("(?m)^\\| `([a-z0-9_]+)` \\|(.*)$")

// TestReferenceIsComplete holds docs/configuration.md to the schema: every key
// of every block with its bounds, allowed values, default and whether it is
// required, and no other key.
func TestReferenceIsComplete(t *testing.T) {
	sections := readSections(t)
	covered := make(map[reflect.Type]bool)
	for title, typ := range documented {
		covered[typ] = true
		rows := make(map[string]string)
		var order []string
		for _, match := range tableRow.FindAllStringSubmatch(sections[title], -1) {
			rows[match[1]] = match[2]
			order = append(order, match[1])
		}
		schema := schemaOf(typ)
		if !slices.Equal(order, schema.keys()) {
			t.Errorf("%s documents\n%v, the keys are\n%v", title, order, schema.keys())
			continue
		}
		defaults := reflect.New(typ)
		if block, ok := defaults.Interface().(interface{ setDefaults() }); ok {
			block.setDefaults()
		}
		for _, f := range schema.fields {
			checkRow(t, title, f, rows[f.key], defaults.Elem().FieldByIndex(f.index))
		}
	}
	checkCovered(t, reflect.TypeFor[File](), covered)
}

func readSections(t *testing.T) map[string]string {
	data, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	sections := make(map[string]string)
	for _, part := range strings.Split(string(data), "\n## ")[1:] {
		title, body, _ := strings.Cut(part, "\n")
		sections[title] = body
	}
	return sections
}

func checkRow(t *testing.T, title string, f field, row string, v reflect.Value) {
	var want []string
	if f.required {
		want = append(want, "required")
	}
	if f.low != "" {
		want = append(want, "`"+f.low+"` to `"+f.high+"`")
	}
	if enum, ok := v.Interface().(interface{ values() []string }); ok {
		for _, value := range enum.values() {
			want = append(want, "`"+value+"`")
		}
	}
	if def := defaultText(v); def != "" && !f.required {
		want = append(want, "| `"+def+"`")
	}
	for _, w := range want {
		if !strings.Contains(row, w) {
			t.Errorf("%s, %s: the row lacks %q: %s", title, f.key, w, row)
		}
	}
}

// defaultText returns a default as the reference writes it, or "" if it has
// none to write.
func defaultText(v reflect.Value) string {
	switch value := v.Interface().(type) {
	case time.Duration:
		if value == 0 {
			return ""
		}
		return fmt.Sprintf("%ds", value/time.Second)
	case Size:
		return fmt.Sprintf("%dMB", value/MB)
	case bool:
		return fmt.Sprint(value)
	case int:
		if value == 0 {
			return ""
		}
		return fmt.Sprint(value)
	}
	if v.Kind() == reflect.String {
		return v.String()
	}
	return ""
}

// checkCovered walks the schema for a block that no section describes.
func checkCovered(t *testing.T, typ reflect.Type, covered map[reflect.Type]bool) {
	for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct || typ == prefixType {
		return
	}
	if !covered[typ] {
		t.Errorf("no section of the reference describes %v", typ)
	}
	for _, f := range schemaOf(typ).fields {
		checkCovered(t, typ.FieldByIndex(f.index).Type, covered)
	}
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestExamplesOfTheReferenceParse(t *testing.T) {
	data, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	identity, err := os.ReadFile(filepath.Join(filepath.Dir(docsFile), "identity.md"))
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, identity...)
	headers, err := os.ReadFile("../../docs/headers.md")
	if err != nil {
		t.Fatal(err)
	}
	data = append(data, headers...)
	blocks := yamlBlock.FindAllSubmatch(data, -1)
	if len(blocks) < 10 {
		t.Fatalf("found %d examples only", len(blocks))
	}
	for i, block := range blocks {
		example := string(block[1])
		if !strings.Contains(example, "listeners:") {
			example += "listeners: []\n"
		}
		if _, err := Parse(fmt.Sprintf("example-%d", i+1), []byte(example)); err != nil {
			t.Errorf("%v in\n%s", err, example)
		}
	}
}
