package lb_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/postern-lb/postern/internal/pki"
	"github.com/postern-lb/postern/lb"
	"github.com/postern-lb/postern/trust"
)

// keptRefusal is what the admin side shows of one.
type keptRefusal struct {
	ID, Listener, Reason, Detail, Subject, Explained string
	ConnTraceID                                      string `json:"conn_trace_id"`
	TrustStore                                       string `json:"trust_store"`
	Explanation                                      *trust.Explanation
	CertificatesPEM                                  string `json:"certificates_pem"`
}

func (r *running) refusal(t *testing.T, id string) keptRefusal {
	t.Helper()
	status, body := r.admin(t, "/refusals/"+url.PathEscape(id))
	if status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", id, status, body)
	}
	var out keptRefusal
	check(t, json.Unmarshal([]byte(body), &out))
	return out
}

func (r *running) refusals(t *testing.T, query string) []keptRefusal {
	t.Helper()
	status, body := r.admin(t, "/refusals"+query)
	if status != http.StatusOK {
		t.Fatalf("%s: status %d: %s", query, status, body)
	}
	var out struct{ Refusals []keptRefusal }
	check(t, json.Unmarshal([]byte(body), &out))
	return out.Refusals
}

// connLines reads the connection log, which must come to n lines.
func (s *site) connLines(n int) (out []map[string]any) {
	s.t.Helper()
	eventually(s.t, "lines of the connection log", func() bool {
		out = nil
		f, err := os.Open(s.path("conn.log"))
		if err != nil {
			return false
		}
		defer f.Close()
		for lines := bufio.NewScanner(f); lines.Scan(); {
			var line map[string]any
			if json.Unmarshal(lines.Bytes(), &line) != nil {
				return false
			}
			out = append(out, line)
		}
		return len(out) == n
	})
	return out
}

const connectionLog = "logs: {connection: {path: conn.log, format: json}}\n"

// TestRefusalsAreKept is the story of an operator: a client was refused and tells the
// id that it saw, or the log does; the record under it says why, and so do
// postern explain and postern verify about the certificates in it.
func TestRefusalsAreKept(t *testing.T) {
	for _, on := range []string{"reset", "alert", "forbidden"} {
		t.Run(on, func(t *testing.T) {
			s, address := newSite(t), freeAddress(t)
			s.write("partners.crl", s.ca.CRL(3, s.bob))
			s.configure(strings.Replace(verifying(address), "trust_store: partners}", "trust_store: partners, on_refusal: "+on+"}", 1) + connectionLog)
			r := s.start()
			resp, err := s.client(s.bob).Get("https://" + address + "/")
			line := s.connLines(1)[0]
			id, _ := line["conn_trace_id"].(string)
			byLog := r.refusal(t, id)
			if on == "forbidden" {
				check(t, err)
				resp.Body.Close()
				if seen := r.refusal(t, resp.Header.Get("X-Amzn-Requestid")); seen.ID != byLog.ID {
					t.Errorf("the client's id finds %s, the log's %s", seen.ID, byLog.ID)
				}
			} else if err == nil {
				t.Fatal("bob was let in")
			}
			if "Failed:"+byLog.Reason != line["tls_verify_status"] || byLog.Detail != line["detail"] || byLog.ConnTraceID != id ||
				byLog.Reason != "ClientCertCrlHit" || byLog.Explained != "then" || byLog.TrustStore != "partners" || byLog.Listener != "front" {
				t.Errorf("kept %+v, logged %v", byLog, line)
			}
			s.write("refused.pem", []byte(byLog.CertificatesPEM))
			s.wantSameReason(byLog)
		})
	}
}

// wantSameReason asks what the commands ask about the certificates of a refusal.
func (s *site) wantSameReason(kept keptRefusal) {
	s.t.Helper()
	explained, err := lb.ExplainListener(lb.ListenerOptions{ConfigPath: s.path("postern.yaml"), Listener: "front", Chain: s.path("refused.pem")})
	check(s.t, err)
	verified, err := lb.Explain(lb.ExplainOptions{Bundle: s.path("bundle.pem"), Revocations: []string{s.path("partners.crl")}, Chain: s.path("refused.pem")})
	check(s.t, err)
	if explained.Reason != kept.Reason || verified.Reason != kept.Reason || explained.Detail != kept.Detail || verified.Detail != kept.Detail {
		s.t.Errorf("kept %s, explained %s, verified %s", kept.Detail, explained.Detail, verified.Detail)
	}
	if e := kept.Explanation; e == nil || e.Remedy == "" || e.Remedy != explained.Explanation.Remedy || e.RevocationLists[0].Number != "3" {
		s.t.Errorf("explanation %+v", e)
	}
}

// TestRefusalsOnceTheTrustStoreHasChanged: the record stays what it was.
func TestRefusalsOnceTheTrustStoreHasChanged(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address) + connectionLog)
	r := s.start()
	other := pki.NewRoot("Other")
	stranger := other.Client("mallory")
	for range 30 { // more than are explained in a second
		get(s.client(stranger), "https://"+address)
	}
	get(s.client(nil), "https://"+address)
	s.connLines(31)
	list := r.refusals(t, "")
	if len(list) != 31 || list[0].Reason != "UnmappedConnectionError" {
		t.Fatalf("%d refusals: %+v", len(list), list[0])
	}
	if only := r.refusals(t, "?reason=ClientCertUntrusted&listener=front&limit=7"); len(only) != 7 || only[0].Subject != "CN=mallory,O=Postern" {
		t.Errorf("%d refusals: %+v", len(only), only)
	}
	if none := r.refusals(t, "?listener=other"); len(none) != 0 {
		t.Errorf("%+v", none)
	}
	for _, kept := range list[1:] {
		if got := r.refusal(t, kept.ID); got.Explanation == nil || got.Explanation.Nearest != nil && got.Explanation.Remedy == "" {
			t.Fatalf("%+v", got)
		}
	}
	// All of them are admitted now; what is on record is what was decided.
	s.write("bundle.pem", append(append(s.root.PEM(), s.ca.PEM()...), other.PEM()...))
	s.configure(strings.Replace(verifying(address), "    revocations: [partners.crl]\n", "", 1) + connectionLog)
	r.reload(t)
	then := 0
	for _, kept := range list[1:] {
		got := r.refusal(t, kept.ID)
		if got.Reason != "ClientCertUntrusted" || (got.Explanation == nil) != (got.Explained == "") {
			t.Errorf("%+v", got)
		}
		if got.Explained == "then" {
			then++
		} else if got.Explained != "" {
			t.Errorf("explained %s by a store that admits the client", got.Explained)
		}
	}
	if then == 0 {
		t.Error("none was explained when it happened")
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	s.configure(verifying(address) + connectionLog)
	s.edit("admin: {address: 127.0.0.1:0}", "admin: {address: 127.0.0.1:0, refusals: 2}")
	r := s.start()
	for range 5 {
		get(s.client(nil), "https://"+address)
	}
	lines := s.connLines(5)
	if kept := r.refusals(t, ""); len(kept) != 2 || kept[0].ConnTraceID != lines[4]["conn_trace_id"] {
		t.Errorf("kept %+v", kept)
	}
	oldest, _ := lines[0]["conn_trace_id"].(string)
	if status, _ := r.admin(t, "/refusals/"+oldest); status != http.StatusNotFound {
		t.Errorf("the oldest has status %d", status)
	}
	s.edit("refusals: 2", "refusals: 0")
	r.reload(t)
	get(s.client(nil), "https://"+address)
	s.connLines(6)
	if kept := r.refusals(t, ""); len(kept) != 0 {
		t.Errorf("kept %+v", kept)
	}
	if status, _ := r.admin(t, "/refusals?limit=x"); status != http.StatusBadRequest {
		t.Errorf("a limit that is no number has status %d", status)
	}
}

// TestRefusalsAreToldByAddressOnly: no web page may have them by DNS rebinding.
func TestRefusalsAreToldByAddressOnly(t *testing.T) {
	s := newSite(t)
	s.configure("listeners:\n" + fixed("front", freeAddress(t), "front"))
	r := s.start()
	for host, want := range map[string]int{
		"127.0.0.1:9901": 200, "localhost": 200, "LocalHost:1": 200, "[::1]:9901": 200, "::1": 200,
		"rebound.evil.example": 403, "rebound.evil.example:9901": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403,
	} {
		for _, path := range []string{"/refusals", "/refusals/x"} {
			req, err := http.NewRequest(http.MethodGet, "http://"+r.AdminAddress()+path, nil)
			check(t, err)
			req.Host = host
			resp, err := http.DefaultClient.Do(req)
			check(t, err)
			resp.Body.Close()
			if want := map[bool]int{true: want, false: 404}[want == 403 || path == "/refusals"]; resp.StatusCode != want {
				t.Errorf("Host %s: %s has status %d, want %d", host, path, resp.StatusCode, want)
			}
		}
	}
}
