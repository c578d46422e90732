// Package bundle writes what a support engineer gets: a zip of files, each named and
// explained in a README, with secrets removed and, if wanted, names and addresses
// replaced by pseudonyms that keep their relations.
//
// It gathers nothing; files are handed in. What it replaces, and what stays, is told
// by Anonymizer.
package bundle

import (
	"archive/zip"
	"fmt"
	"io"
	"strings"
	"time"
)

// File is one file of a bundle.
type File struct {
	Name   string // within the bundle
	About  string // one line for the README
	Data   []byte
	Why    string // why there is no Data, "" there is
	Binary bool   // Data has been made anonymous already, if it has to be
	Code   bool   // names of programs' parts look like host names here: only known ones are replaced
}

// Write writes the zip. a is nil for a bundle that names everything. Names in the
// zip are as given, below folder.
func Write(w io.Writer, folder string, now time.Time, files []File, a *Anonymizer) error {
	z := zip.NewWriter(w)
	add := func(name string, data []byte) error {
		f, err := z.CreateHeader(&zip.FileHeader{Name: folder + "/" + name, Method: zip.Deflate, Modified: now})
		if err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		if _, err := f.Write(data); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
		return nil
	}
	if err := add("README.txt", []byte(a.text(readme(now, files))+legend(a))); err != nil {
		return err
	}
	for _, f := range files {
		if f.Why != "" {
			continue
		}
		data := f.Data
		switch {
		case f.Code && a != nil:
			known := *a
			known.strict = false
			data = []byte(known.Text(RemoveSecrets(string(data))))
		case !f.Binary:
			data = []byte(a.text(RemoveSecrets(string(data))))
		}
		if err := add(f.Name, data); err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

// text makes a text anonymous; a nil Anonymizer leaves it as it is.
func (a *Anonymizer) text(s string) string {
	if a == nil {
		return s
	}
	return a.Text(s)
}

func readme(now time.Time, files []File) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Support bundle of reach64, made at %s\n\nStart with doctor.txt: its first FAIL is the broken step.\n\n", now.UTC().Format(time.RFC3339))
	for _, f := range files {
		if f.Why != "" {
			continue
		}
		fmt.Fprintf(&b, "%-20s %s\n", f.Name, f.About)
	}
	missing := false
	for _, f := range files {
		if f.Why == "" {
			continue
		}
		if !missing {
			b.WriteString("\nWhat could not be had:\n")
			missing = true
		}
		fmt.Fprintf(&b, "%-20s %s\n", f.Name, strings.Join(strings.Fields(f.Why), " "))
	}
	return b.String()
}

// legend says what was replaced, and how.
func legend(a *Anonymizer) string {
	var b strings.Builder
	b.WriteString("\nPasswords, tokens and what follows the ? of a web address are left out everywhere.\n")
	switch {
	case a == nil:
		b.WriteString("Names and addresses are the real ones: reach64 bundle --anonymize replaces them.\n")
	default:
		b.WriteString(explained)
		if a.strict {
			b.WriteString("Every other word that looks like a host name is replaced too (strict).\n")
		}
	}
	return b.String()
}

const explained = `
Names and addresses are replaced by pseudonyms, the same one for the same thing
in every file:
  public IPv4     198.18.0.0/17, /24 by /24      private IPv4  198.19.0.0/17
  IPv6            3fff:1::/32, /64 by /64         unique local  fdff::/32
  link-local      fe80:: and a number            NAT64 prefix  3fff:6400::/24, same length
  link addresses  02:00:00:...                   names         name1.invalid
The IPv4 address in an IPv6 one behind a NAT64 is its pseudonym, so that the two
still belong together. 64:ff9b::/96, 192.0.0.0/24, loopback and multicast stay.
`
