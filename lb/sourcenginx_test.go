package lb_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// nginxConfig serves a folder over HTTPS to those with a certificate of the CA.
const nginxConfig = `daemon off;
pid nginx.pid;
error_log stderr;
events {}
http {
  access_log access.log;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  server {
    listen ADDRESS ssl http2;
    ssl_certificate server.pem;
    ssl_certificate_key server-key.pem;
    ssl_client_certificate bundle.pem;
    ssl_verify_client on;
    ssl_verify_depth 3;
    root files;
  }
}
`

// TestSourceNginx holds that a web server in wide use is understood: conditional
// requests, client certificates, and HTTP/2.
func TestSourceNginx(t *testing.T) {
	program, err := exec.LookPath("nginx")
	if err != nil {
		t.Skip("nginx is not installed")
	}
	s, address, server := newSite(t), freeAddress(t), freeAddress(t)
	s.write("nginx.conf", []byte(strings.Replace(nginxConfig, "ADDRESS", server, 1)))
	check(t, os.Mkdir(s.path("files"), 0o755))
	check(t, os.Chmod(s.dir, 0o755))
	s.write("files/partners.crl", s.ca.CRL(1))
	check(t, os.Chmod(s.path("files/partners.crl"), 0o644))
	s.write("source-ca.pem", s.root.PEM())
	s.write("client.pem", s.alice.ChainPEM())
	s.write("client-key.pem", s.alice.KeyPEM())
	nginx := exec.Command(program, "-p", s.dir, "-c", "nginx.conf", "-g", "user "+userName()+";")
	var output syncBuffer
	nginx.Stdout, nginx.Stderr = &output, &output
	check(t, nginx.Start())
	t.Cleanup(func() {
		nginx.Process.Signal(os.Interrupt)
		nginx.Wait()
		if t.Failed() {
			t.Logf("nginx:\n%s", &output)
		}
	})
	accessed := func(text string) func() bool {
		return func() bool {
			data, _ := os.ReadFile(s.path("access.log"))
			return strings.Contains(string(data), text)
		}
	}
	eventually(t, "nginx", func() bool { return listening(server) })
	name := "https://" + server + "/partners.crl"
	s.configure(fetching(address, "bundle.pem", `{url: "`+name+
		`", ca_certificate: source-ca.pem, client_certificate: client.pem, client_key: client-key.pem, poll_interval: 1s}`))
	r := s.start()
	url := "https://" + address + "/"
	wantGet(t, s.client(s.bob), url, 200, bobSubject)
	eventually(t, "a conditional request over HTTP/2", accessed(`GET /partners.crl HTTP/2.0" 304`))
	s.write("files/partners.crl", s.ca.CRL(2, s.bob))
	check(t, os.Chmod(s.path("files/partners.crl"), 0o644))
	eventually(t, "the revocation in force", func() bool {
		status, _ := get(s.client(s.bob), url)
		return status == 0
	})
	check(t, os.Remove(s.path("files/partners.crl")))
	eventually(t, "a file that is gone", func() bool { return strings.Contains(r.sources(t)[name].Error, "404 Not Found") })
	wantGet(t, s.client(s.bob), url, 0, "")
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
}

// userName returns who nginx's workers are to be: those who may read the test's files.
func userName() string {
	if os.Geteuid() == 0 {
		return "root"
	}
	return "nobody" // which nginx ignores unless it is root
}
