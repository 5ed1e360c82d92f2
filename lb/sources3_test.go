package lb_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/postern-lb/postern/lb"
)

// An s3Server is versitygw with one bucket, "trust", that keeps versions.
type s3Server struct {
	api      *s3.Client
	endpoint string
	command  *exec.Cmd
}

// newS3Server starts the server that VERSITYGW names, or one on the path. Without any the
// test is skipped, but not in CI.
func newS3Server(t *testing.T) *s3Server {
	program := os.Getenv("VERSITYGW")
	if program == "" {
		var err error
		if program, err = exec.LookPath("versitygw"); err != nil {
			if os.Getenv("CI") != "" {
				t.Fatal("versitygw is missing: set VERSITYGW to what .ci/versitygw prints")
			}
			t.Skip("versitygw is not installed: VERSITYGW=$(.ci/versitygw) runs this test")
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "tester")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	address := freeAddress(t)
	f := &s3Server{endpoint: "http://" + address}
	f.command = exec.Command(program, "--port", address, "posix", "--versioning-dir", t.TempDir(), t.TempDir())
	f.command.Env = append(os.Environ(), "ROOT_ACCESS_KEY=tester", "ROOT_SECRET_KEY=secret-of-the-test")
	var output syncBuffer
	f.command.Stdout, f.command.Stderr = &output, &output
	check(t, f.command.Start())
	t.Cleanup(f.stop)
	eventually(t, "the S3 server", func() bool { return listening(address) })
	cfg, err := awsconfig.LoadDefaultConfig(context.Background(), awsconfig.WithRegion("us-east-1"))
	check(t, err)
	f.api = s3.NewFromConfig(cfg, func(o *s3.Options) { o.BaseEndpoint, o.UsePathStyle = &f.endpoint, true })
	_, err = f.api.CreateBucket(context.Background(), &s3.CreateBucketInput{Bucket: aws.String("trust")})
	check(t, err)
	_, err = f.api.PutBucketVersioning(context.Background(), &s3.PutBucketVersioningInput{
		Bucket:                  aws.String("trust"),
		VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled},
	})
	check(t, err)
	return f
}

// listening reports whether somebody listens at address.
func listening(address string) bool {
	conn, err := net.Dial("tcp", address)
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// stop ends the server; more than once does no harm.
func (f *s3Server) stop() {
	f.command.Process.Kill()
	f.command.Wait()
}

// put stores an object and returns its version.
func (f *s3Server) put(t *testing.T, key string, data []byte) string {
	t.Helper()
	out, err := f.api.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: aws.String("trust"), Key: &key, Body: bytes.NewReader(data),
	})
	check(t, err)
	if aws.ToString(out.VersionId) == "" {
		t.Fatal("the server keeps no versions")
	}
	return *out.VersionId
}

func (f *s3Server) source(key, more string) string {
	return `{url: "s3://trust/` + key + `", endpoint: "` + f.endpoint + `", force_path_style: true` + more + "}"
}

// TestSourceS3 holds that a new version of an object comes into force by polling, that
// the store's version names it, and that nothing of it is lost with the server.
func TestSourceS3(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	f := newS3Server(t)
	bundleVersion := f.put(t, "bundle.pem", append(s.root.PEM(), s.ca.PEM()...))
	f.put(t, "partners.crl", s.ca.CRL(1))
	s.configure(fetching(address, f.source("bundle.pem", ""), f.source("partners.crl", ", poll_interval: 1s")))
	url, name := "https://"+address+"/", "s3://trust/partners.crl at "+f.endpoint
	r := s.start()
	wantGet(t, s.client(s.bob), url, 200, bobSubject)
	if !strings.Contains(s.log.String(), "@"+bundleVersion) {
		t.Errorf("the log does not name the version %s of the bundle", bundleVersion)
	}
	revoking := f.put(t, "partners.crl", s.ca.CRL(2, s.bob))
	eventually(t, "the revocation in force", func() bool {
		status, _ := get(s.client(s.bob), url)
		return status == 0
	})
	eventually(t, "the version of the list", func() bool { return r.sources(t)[name].Version == revoking })
	attempt := r.sources(t)[name].LastAttempt
	eventually(t, "another poll", func() bool { return r.sources(t)[name].LastAttempt.After(*attempt) })
	if got := r.sources(t)[name]; got.Error != "" {
		t.Errorf("an object that has not changed is an error: %s", got.Error)
	}
	f.put(t, "partners.crl", []byte("garbage"))
	eventually(t, "a refused answer", func() bool { return strings.Contains(r.sources(t)[name].Error, "is refused") })
	wantGet(t, s.client(s.bob), url, 0, "")
	f.stop()
	eventually(t, "a server that is gone", func() bool { return strings.Contains(r.sources(t)[name].Error, "connection refused") })
	r.stop()
	check(t, r.wait(t))
	s.start()
	wantGet(t, s.client(s.bob), url, 0, "")
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
}

// TestSourceS3Pinned holds that a pinned version stays what it is, and needs no server
// once it was fetched.
func TestSourceS3Pinned(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	f := newS3Server(t)
	first := f.put(t, "partners.crl", s.ca.CRL(1, s.bob))
	f.put(t, "partners.crl", s.ca.CRL(2))
	s.configure(fetching(address, "bundle.pem", f.source("partners.crl", `, version: "`+first+`"`)))
	url := "https://" + address + "/"
	r := s.start()
	wantGet(t, s.client(s.bob), url, 0, "")
	f.stop()
	r.reload(t)
	for name, got := range r.sources(t) {
		if got.Failures != 0 {
			t.Errorf("%s was asked again: %s", name, got.Error)
		}
	}
	wantGet(t, s.client(s.alice), url, 200, aliceSubject)
}

// TestSourceS3Refused holds that an answer without the object says what is wrong.
func TestSourceS3Refused(t *testing.T) {
	s, address := newSite(t), freeAddress(t)
	f := newS3Server(t)
	f.put(t, "bundle.pem", bytes.Repeat(append(s.root.PEM(), s.ca.PEM()...), 2))
	refused := func(source, want string) {
		t.Helper()
		s.configure(fetching(address, source, "partners.crl"))
		if _, err := lb.New(s.options()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", source, err, want)
		}
	}
	refused(f.source("none.pem", ""), "404 NoSuchKey")
	refused(f.source("bundle.pem", ", max_size: 1KB"), "more than 1024 bytes")
	refused(f.source("bundle.pem", ", version: 01ARZ3NDEKTSV4RRFFQ69G5FAV"), "NoSuchVersion")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	refused(f.source("bundle.pem", ""), "403 SignatureDoesNotMatch")
}
