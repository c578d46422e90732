// Command dist builds all packages of reach64 into one folder: deb, rpm, MSI and pkg, archives, the
// templates and examples for management tools, an SBOM for each binary, and the SHA-256 sums of
// all of them. The same input gives the same bytes:
// every time in a package is that of the source (SOURCE_DATE_EPOCH, else the last commit).
//
// It runs on Linux, in the root of the source. Cross-compiling needs nothing but
// Go; the tools that it calls are pinned in installer/tools/go.mod, except wixl and msibuild for
// MSIs and osslsigncode for signatures, which are programs of the system.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A target is a system and processor that packages are made for.
type target struct{ os, arch string }

var targets = []target{
	{"linux", "amd64"}, {"linux", "arm64"},
	{"windows", "amd64"}, {"windows", "arm64"},
	{"darwin", "amd64"}, {"darwin", "arm64"},
}

// A dist is one run.
type dist struct {
	version string    // such as 1.2.3 or 1.2.3-rc.1
	when    time.Time // of the source
	out     string    // folder of the results
	stage   string    // folder for what goes into them, removed at the end
	tools   map[string]string
	wintun  wintun
	signing signing
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	version := flag.String("version", "", "version of the packages, such as 1.2.3")
	out := flag.String("out", "dist", "folder for the packages; emptied first")
	only := flag.String("only", "", "systems or system/processor pairs to build for, by commas; all when empty")
	flag.Parse()
	if err := run(ctx, *version, *out, *only); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

// versions are those that deb, rpm, MSI and pkg all order as semver does.
var versions = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.]+)?$`)

func run(ctx context.Context, version, out, only string) error {
	if !versions.MatchString(version) {
		return fmt.Errorf("-version %q: want three numbers such as 1.2.3, or with a suffix 1.2.3-rc.1", version)
	}
	when, err := sourceTime(ctx)
	if err != nil {
		return err
	}
	stage, err := os.MkdirTemp("", "reach64-dist-")
	if err != nil {
		return fmt.Errorf("make stage: %w", err)
	}
	defer os.RemoveAll(stage)
	d := &dist{version: version, when: when, out: out, stage: stage}
	if err := d.windows(only); err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if err := d.management(); err != nil {
		return err
	}
	for _, t := range targets {
		if !wanted(only, t) {
			continue
		}
		if err := d.target(ctx, t); err != nil {
			return fmt.Errorf("%s/%s: %w", t.os, t.arch, err)
		}
	}
	return d.sums()
}

// windows finds what goes into packages for Windows, and what they are made with.
func (d *dist) windows(only string) (err error) {
	if !wanted(only, target{"windows", "amd64"}) && !wanted(only, target{"windows", "arm64"}) {
		return nil
	}
	if _, err := msiVersion(d.version); err != nil {
		return err
	}
	if d.signing, err = findSigning(); err != nil {
		return err
	}
	programs := map[string]string{"wixl": "wixl", "msibuild": "msitools"}
	if d.signing.cert != "" {
		programs["osslsigncode"] = "osslsigncode"
	}
	if err := needPrograms(programs); err != nil {
		return err
	}
	if d.wintun, err = findWintun(); err == nil && d.wintun.folder == "" {
		fmt.Fprintln(os.Stderr, "dist: no WINTUN: packages for Windows have no wintun.dll, and no CLAT until it is put beside reach64.exe")
	}
	return err
}

func wanted(only string, t target) bool {
	if only == "" {
		return true
	}
	for _, o := range strings.Split(only, ",") {
		if o == t.os || o == t.os+"/"+t.arch {
			return true
		}
	}
	return false
}

// sourceTime is the time that all packages carry (reproducible-builds.org).
func sourceTime(ctx context.Context) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		b, err := exec.CommandContext(ctx, "git", "log", "-1", "--format=%ct").Output()
		if err != nil {
			return time.Time{}, fmt.Errorf("find the time of the last commit (set SOURCE_DATE_EPOCH outside a checkout): %w", err)
		}
		text = strings.TrimSpace(string(b))
	}
	sec, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("read SOURCE_DATE_EPOCH %q: want seconds since 1970", text)
	}
	return time.Unix(sec, 0).UTC(), nil
}

// prepare empties the output, and builds the tools and the binary of this system
// that writes the documents.
func (d *dist) prepare(ctx context.Context) error {
	if err := os.RemoveAll(d.out); err != nil {
		return fmt.Errorf("empty output: %w", err)
	}
	if err := os.MkdirAll(d.out, 0o755); err != nil {
		return fmt.Errorf("make output: %w", err)
	}
	d.tools = make(map[string]string)
	for _, tool := range []string{"nfpm", "cyclonedx-gomod"} {
		b, err := exec.CommandContext(ctx, "go", "tool", "-modfile=installer/tools/go.mod", "-n", tool).Output()
		if err != nil {
			return fmt.Errorf("build %s: %w", tool, err)
		}
		d.tools[tool] = strings.TrimSpace(string(b))
	}
	return d.documents(ctx)
}

// target builds the binary for one system and processor, and its packages.
func (d *dist) target(ctx context.Context, t target) error {
	name := "reach64"
	if t.os == "windows" {
		name += ".exe"
	}
	binary := filepath.Join(d.stage, t.os+"-"+t.arch, name)
	if err := d.compile(ctx, t, binary); err != nil {
		return err
	}
	if t.os == "windows" {
		if err := d.sign(ctx, binary); err != nil {
			return err
		}
	}
	if err := d.sbom(ctx, t, binary); err != nil {
		return err
	}
	switch t.os {
	case "darwin":
		if err := d.pkg(t, binary); err != nil {
			return err
		}
	case "windows":
		if err := d.msi(ctx, t, binary); err != nil {
			return err
		}
	case "linux":
		for _, format := range []string{"deb", "rpm"} {
			if err := d.pack(ctx, t, format, binary); err != nil {
				return err
			}
		}
	}
	return d.archive(t, binary)
}

// compile builds the program; the zero target is this system.
func (d *dist) compile(ctx context.Context, t target, binary string) error {
	flags := "-s -w -buildid= -X main.version=" + d.version
	if t.os == "windows" {
		flags += " -X github.com/reach64/reach64/platform/tun.WintunSHA256=" + d.wintun.sums[t.arch]
	}
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", binary, "./cmd/reach64")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if t != (target{}) {
		c.Env = append(c.Env, "GOOS="+t.os, "GOARCH="+t.arch)
	}
	return call(c, "compile")
}

// call runs a command and gives what it said when it ends with an error.
func call(c *exec.Cmd, what string) error {
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, out)
	}
	return nil
}
