package ocsp

import (
	"crypto"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/postern-lb/postern/internal/pki"
)

// FuzzAnswer: without the signature of the issuer no answer counts, whatever it says.
func FuzzAnswer(f *testing.F) {
	root, other := pki.NewRoot("root"), pki.NewRoot("root") // whose answers are not in the corpus
	client := root.Client("client")
	stranger := other.Client("client", pki.Serial(client.Cert.SerialNumber))
	now := time.Now()
	for _, status := range []int{ocsp.Good, ocsp.Revoked, ocsp.Unknown} {
		der, err := ocsp.CreateResponse(root.Cert, root.Cert, ocsp.Response{
			Status: status, SerialNumber: client.Cert.SerialNumber, ThisUpdate: now, NextUpdate: now.Add(time.Hour), IssuerHash: crypto.SHA1,
		}, root.Key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	c, err := New(Config{Responder: "http://127.0.0.1:1/"})
	if err != nil {
		f.Fatal(err)
	}
	body, err := ocsp.CreateRequest(stranger.Cert, other.Cert, nil)
	if err != nil {
		f.Fatal(err)
	}
	request, err := ocsp.ParseRequest(body)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		k := known{cert: stranger.Cert, issuer: other.Cert}
		if err := c.answered(data, request, &k); err == nil || k.answer.Status != 0 {
			t.Fatalf("the answer %x counts: %+v", data, k.answer)
		}
		aboutThis(data, request)
	})
}
