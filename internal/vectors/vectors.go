// Package vectors reads the public suites of path validation that the tests
// run: which certificates are presented to which trust store, what the suite's
// authors expect, and what Postern answers. Start from [Open].
//
// A suite is two files: NAME.json with the cases and NAME.zip with the
// certificates (.cer) and revocation lists (.crl) that they name, in DER.
package vectors

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// What a case expects.
const (
	Accept = "accept"
	Refuse = "refuse"
)

// A Suite is the content of one pair of files.
type Suite struct {
	Name string    `json:"name"`
	At   time.Time `json:"at"` // the time that is asked about, if the case has none of its own
	// Inapplicable and Differences hold a sentence for each key that a case
	// gives as the cause why it is not run, or why Postern answers otherwise
	// than the suite expects.
	Inapplicable map[string]string `json:"inapplicable,omitempty"`
	Differences  map[string]string `json:"differences,omitempty"`
	Counts       Counts            `json:"counts"`
	Cases        []Case            `json:"-"`

	files map[string][]byte
}

// Counts say how many cases of a suite there are of each kind.
type Counts struct {
	Agree        int `json:"agree"`
	Difference   int `json:"difference"`
	Inapplicable int `json:"inapplicable"`
}

// A Case is one question of a suite.
type Case struct {
	Name    string     `json:"name"`
	At      *time.Time `json:"at,omitempty"`
	Trusted []string   `json:"trusted,omitempty"`
	Chain   []string   `json:"chain,omitempty"` // leaf first
	CRLs    []string   `json:"crls,omitempty"`
	// Server says that the suite means servers: serverAuth and clientAuth
	// change places before the question is put.
	Server bool   `json:"server,omitempty"`
	Expect string `json:"expect"` // Accept or Refuse
	// Answer is Postern's: Accept, a reason, or what was refused before there
	// was a question.
	Answer       string `json:"answer,omitempty"`
	Difference   string `json:"difference,omitempty"`   // key of Suite.Differences
	Inapplicable string `json:"inapplicable,omitempty"` // key of Suite.Inapplicable
}

// Open reads dir/name.json and dir/name.zip.
func Open(dir, name string) (*Suite, error) {
	data, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		return nil, err
	}
	var whole struct {
		*Suite
		Cases []Case `json:"cases"`
	}
	whole.Suite = &Suite{files: make(map[string][]byte)}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&whole); err != nil {
		return nil, fmt.Errorf("reading %s.json: %w", name, err)
	}
	whole.Suite.Cases = whole.Cases
	return whole.Suite, whole.Suite.unpack(filepath.Join(dir, name+".zip"))
}

func (s *Suite) unpack(path string) error {
	z, err := zip.OpenReader(path)
	if err != nil {
		return err
	}
	defer z.Close()
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return err
		}
		der, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("reading %s of %s: %w", f.Name, path, err)
		}
		s.files[f.Name] = der
	}
	return nil
}

// Certificates returns the DER of the certificates with the given names.
func (s *Suite) Certificates(names ...string) ([][]byte, error) { return s.get(names, ".cer") }

// Lists returns the DER of the revocation lists with the given names.
func (s *Suite) Lists(names ...string) ([][]byte, error) { return s.get(names, ".crl") }

// Key returns the PKCS #8 DER of the private key that belongs to a
// certificate, of those few that have one here.
func (s *Suite) Key(name string) ([]byte, error) {
	keys, err := s.get([]string{name}, ".key")
	if err != nil {
		return nil, err
	}
	return keys[0], nil
}

func (s *Suite) get(names []string, suffix string) ([][]byte, error) {
	ders := make([][]byte, len(names))
	for i, name := range names {
		if ders[i] = s.files[name+suffix]; ders[i] == nil {
			return nil, errors.New(s.Name + " has no " + name + suffix)
		}
	}
	return ders, nil
}

// Time returns the time that a case asks about.
func (s *Suite) Time(c *Case) time.Time {
	if c.At != nil {
		return *c.At
	}
	return s.At
}

// Tally counts the cases, and says what is wrong with how they are marked: a
// case that Postern answers otherwise than expected needs a difference with a
// sentence, any other must have none, and one that is not run needs a cause.
func (s *Suite) Tally() (Counts, error) {
	var n Counts
	var faults []error
	for i := range s.Cases {
		c := &s.Cases[i]
		agrees := (c.Answer == Accept) == (c.Expect == Accept)
		switch {
		case c.Expect != Accept && c.Expect != Refuse:
			faults = append(faults, fmt.Errorf("%s: expects %q", c.Name, c.Expect))
		case c.Inapplicable != "":
			n.Inapplicable++
			if s.Inapplicable[c.Inapplicable] == "" {
				faults = append(faults, fmt.Errorf("%s: no sentence for %q", c.Name, c.Inapplicable))
			}
		case agrees && c.Difference == "":
			n.Agree++
		case agrees:
			faults = append(faults, fmt.Errorf("%s: agrees, and is marked as a difference", c.Name))
		case s.Differences[c.Difference] == "":
			faults = append(faults, fmt.Errorf("%s: %s is expected, the answer is %s, and no sentence says why", c.Name, c.Expect, c.Answer))
		default:
			n.Difference++
		}
	}
	return n, errors.Join(faults...)
}

// Save writes the cases back, one a line.
func (s *Suite) Save(dir, name string) error {
	head, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	out := append(bytes.TrimSuffix(head, []byte("\n}")), ",\n \"cases\": [\n"...)
	for i := range s.Cases {
		line, err := json.Marshal(&s.Cases[i])
		if err != nil {
			return err
		}
		out = append(append(out, "  "...), line...)
		if i < len(s.Cases)-1 {
			out = append(out, ',')
		}
		out = append(out, '\n')
	}
	return os.WriteFile(filepath.Join(dir, name+".json"), append(out, " ]\n}\n"...), 0o644)
}
