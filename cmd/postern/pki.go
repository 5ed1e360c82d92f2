package main

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/postern-lb/postern/internal/labca"
)

type pkiCommand struct {
	Init         pkiInit         `cmd:"" help:"Make a root CA in a new folder."`
	Intermediate pkiIntermediate `cmd:"" help:"Make a CA below another, in a folder of its own."`
	Client       pkiClient       `cmd:"" help:"Make a client's certificate and key."`
	Server       pkiServer       `cmd:"" help:"Make a server's certificate and key."`
	Renew        pkiRenew        `cmd:"" help:"Make another certificate that says the same."`
	Revoke       pkiRevoke       `cmd:"" help:"Revoke a certificate and write a new revocation list."`
	CRL          pkiCRL          `cmd:"" name:"crl" help:"Write a new revocation list."`
	List         pkiList         `cmd:"" help:"List what was issued."`
}

// pkiRequest are the flags that say what is in a certificate.
type pkiRequest struct {
	Organization []string `name:"organization" short:"o" sep:"none" placeholder:"NAME" help:"Organization in the subject; may be given several times."`
	Unit         []string `name:"unit" sep:"none" placeholder:"NAME" help:"Organizational unit in the subject; may be given several times."`
	Key          string   `default:"p256" placeholder:"TYPE" help:"p256, p384, p521, rsa2048, rsa3072 or rsa4096."`
	Days         int      `placeholder:"N" help:"Days until it ends; --days=-3: it ended three days ago. Default: 90, of a CA 3650."`
	CRLURL       []string `name:"crl-url" sep:"none" placeholder:"URL" help:"Say in it where its issuer's revocation list is."`
	OCSPURL      []string `name:"ocsp-url" sep:"none" placeholder:"URL" help:"Say in it where its issuer's OCSP responder is."`
}

func (r *pkiRequest) request(name string, alternatives []string) labca.Request {
	return labca.Request{
		CommonName: name, Organization: r.Organization, Units: r.Unit, Names: alternatives,
		KeyType: r.Key, Days: r.Days, CRLs: r.CRLURL, OCSP: r.OCSPURL,
	}
}

// pkiFolder is the folder of the CA that a command works with.
type pkiFolder struct {
	Dir string `name:"ca" required:"" type:"path" placeholder:"DIR" help:"Folder of the CA."`
}

// with runs work with the CA open.
func (f *pkiFolder) with(work func(*labca.CA) error) (err error) {
	ca, err := labca.Open(f.Dir)
	if err != nil {
		return unusable{err}
	}
	defer func() {
		if e := ca.Close(); err == nil {
			err = e
		}
	}()
	return work(ca)
}

type pkiInit struct {
	pkiRequest
	Dir  string `arg:"" type:"path" placeholder:"DIR" help:"The folder to make it in."`
	Name string `default:"Postern Lab Root" help:"Common name."`
}

// Run makes a root.
func (c *pkiInit) Run(s *streams) error {
	ca, err := labca.Create(c.Dir, c.request(c.Name, nil))
	return s.made(ca, err)
}

type pkiIntermediate struct {
	pkiRequest
	Dir    string `arg:"" type:"path" placeholder:"DIR" help:"The folder to make it in."`
	Parent string `required:"" type:"path" placeholder:"DIR" help:"Folder of the CA above."`
	Name   string `default:"Postern Lab CA" help:"Common name."`
}

// Run makes a CA below another.
func (c *pkiIntermediate) Run(s *streams) error {
	return (&pkiFolder{c.Parent}).with(func(parent *labca.CA) error {
		ca, err := labca.CreateBelow(c.Dir, c.request(c.Name, nil), parent)
		return s.made(ca, err)
	})
}

// made tells of a new CA and closes it.
func (s *streams) made(ca *labca.CA, err error) error {
	if err != nil {
		return unusable{err}
	}
	fmt.Fprintf(s.stdout, "%s\n  bundle for a trust store  %s\n  revocation list           %s\n",
		ca.Certificate().Subject, ca.Path("ca-bundle.pem"), ca.Path("crl.pem"))
	return ca.Close()
}

type pkiClient struct {
	pkiRequest
	pkiFolder
	Name           string   `arg:"" placeholder:"NAME" help:"Common name, and name of the files."`
	AlternateNames []string `name:"san" sep:"none" placeholder:"NAME" help:"Host name, address, URI or email address that it is for; may be given several times."`
	PKCS12         string   `name:"pkcs12-password" placeholder:"TEXT" help:"Also write NAME.p12, for browsers, with this password."`
}

// Run makes a client's certificate.
func (c *pkiClient) Run(s *streams) error {
	return c.with(func(ca *labca.CA) error {
		cert, err := ca.Client(c.Name, c.request(c.Name, c.AlternateNames))
		if err == nil && c.PKCS12 != "" {
			_, err = ca.PKCS12(c.Name, c.PKCS12)
		}
		return s.issued(ca, c.Name, cert, err)
	})
}

type pkiServer struct {
	pkiRequest
	pkiFolder
	File  string   `placeholder:"NAME" default:"server" help:"Name of the files."`
	Names []string `arg:"" placeholder:"NAME" help:"Host names and addresses; the first is the common name too."`
}

// Run makes a server's certificate.
func (c *pkiServer) Run(s *streams) error {
	return c.with(func(ca *labca.CA) error {
		cert, err := ca.Server(c.File, c.request(c.Names[0], c.Names))
		return s.issued(ca, c.File, cert, err)
	})
}

type pkiRenew struct {
	pkiFolder
	Name   string `arg:"" placeholder:"NAME" help:"Name of the files."`
	Days   int    `placeholder:"N" help:"Days until it ends. Default: 90."`
	NewKey bool   `help:"Make a new key too."`
}

// Run renews a certificate.
func (c *pkiRenew) Run(s *streams) error {
	return c.with(func(ca *labca.CA) error {
		cert, err := ca.Renew(c.Name, c.Days, c.NewKey)
		return s.issued(ca, c.Name, cert, err)
	})
}

// issued tells of a new certificate.
func (s *streams) issued(ca *labca.CA, file string, cert *x509.Certificate, err error) error {
	if err != nil {
		return unusable{err}
	}
	fmt.Fprintf(s.stdout, "%s, until %s, serial number %X\n  certificate  %s\n  key          %s\n", cert.Subject,
		cert.NotAfter.Format(time.RFC3339), cert.SerialNumber, ca.Path(file+".pem"), ca.Path(file+"-key.pem"))
	return nil
}

type pkiRevoke struct {
	pkiFolder
	Which  string `arg:"" placeholder:"NAME|SERIAL" help:"Name of the files, or serial number in hexadecimal."`
	Reason string `default:"unspecified" placeholder:"REASON" help:"unspecified, keyCompromise, CACompromise, affiliationChanged, superseded or cessationOfOperation."`
}

// Run revokes a certificate.
func (c *pkiRevoke) Run(s *streams) error {
	return c.with(func(ca *labca.CA) error {
		if err := ca.Revoke(c.Which, c.Reason); err != nil {
			return unusable{err}
		}
		fmt.Fprintf(s.stdout, "%s is revoked; the new list is %s\n", c.Which, ca.Path("crl.pem"))
		return nil
	})
}

type pkiCRL struct {
	pkiFolder
	Days int `default:"30" placeholder:"N" help:"Days until the next list is due; --days=-1: it was due yesterday."`
}

// Run writes a revocation list.
func (c *pkiCRL) Run(s *streams) error {
	return c.with(func(ca *labca.CA) error {
		if err := ca.WriteCRL(c.Days); err != nil {
			return unusable{err}
		}
		fmt.Fprintln(s.stdout, ca.Path("crl.pem"))
		return nil
	})
}

type pkiList struct {
	pkiFolder
	JSON bool `name:"json" help:"Print one JSON array."`
}

// Run lists what was issued.
func (c *pkiList) Run(s *streams) error {
	return c.with(func(ca *labca.CA) error {
		list, err := ca.List(time.Now())
		if err != nil {
			return unusable{err}
		}
		if c.JSON {
			return json.NewEncoder(s.stdout).Encode(list)
		}
		w := tabwriter.NewWriter(s.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "STATUS\tUNTIL\tSERIAL NUMBER\tFILES\tSUBJECT")
		for _, i := range list {
			status := i.Status
			if i.Reason != "" {
				status += " (" + i.Reason + ")"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", status, i.Ends.Format(time.DateOnly), i.Serial, i.Name, i.Subject)
		}
		return w.Flush()
	})
}
