package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// msiArch are Windows Installer's names of processors.
var msiArch = map[string]string{"amd64": "x64", "arm64": "Arm64"}

// msi makes a package for Windows Installer: wixl from reach64.wxs, and what wixl
// lacks by msibuild from tables.sql.
func (d *dist) msi(ctx context.Context, t target, binary string) error {
	stage := filepath.Join(filepath.Dir(binary), "msi")
	content, err := d.msiFiles(t, binary, stage)
	if err != nil {
		return err
	}
	number, err := msiVersion(d.version)
	if err != nil {
		return err
	}
	queries, err := statements("installer/windows/tables.sql", number)
	if err != nil {
		return err
	}
	// Products of the same version are the same; packages are when their content is, too.
	product := msiID("product", d.version, t.arch)
	code := msiID("package", d.version, t.arch, content, strings.Join(queries, "\n"))
	file, err := filepath.Abs(filepath.Join(d.out, fmt.Sprintf("reach64-%s-windows-%s.msi", d.version, t.arch)))
	if err != nil {
		return fmt.Errorf("find output: %w", err)
	}
	// wixl knows x64 alone; what is for Arm64 differs in its summary.
	args := []string{"--arch", "x64", "--output", file, "-D", "Version=" + number, "-D", "FullVersion=" + d.version, "-D", "ProductCode=" + product}
	if d.wintun.folder != "" {
		args = append(args, "-D", "Wintun=1")
	}
	wixl := exec.CommandContext(ctx, "wixl", append(args, "reach64.wxs")...)
	wixl.Dir = stage // it finds files beside its source alone
	if err := quiet(wixl, "make MSI"); err != nil {
		return err
	}
	for _, edit := range [][]string{append([]string{"-q"}, queries...), {"-s", "reach64 " + d.version, "reach64", msiArch[t.arch] + ";1033", "{" + code + "}"}} {
		if err := quiet(exec.CommandContext(ctx, "msibuild", append([]string{file}, edit...)...), "edit MSI"); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read MSI: %w", err)
	}
	if err := stamp(text, d.when); err != nil {
		return fmt.Errorf("set the times of the MSI: %w", err)
	}
	if err := put(file, text); err != nil {
		return err
	}
	return d.sign(ctx, file)
}

// msiFiles puts the files of the package into a folder, with the time of the source,
// and returns what stands for their content.
func (d *dist) msiFiles(t target, binary, stage string) (content string, err error) {
	doc := filepath.Join(d.stage, "share/doc/reach64")
	from := map[string]string{
		"reach64.wxs":            "installer/windows/reach64.wxs",
		"reach64.exe":            binary,
		"README.md":              filepath.Join(doc, "README.md"),
		"CHANGELOG.md":           filepath.Join(doc, "CHANGELOG.md"),
		"LICENSE.txt":            "LICENSE",
		"LICENSES.txt":           filepath.Join(doc, "LICENSES.txt"),
		"reach64.toml.example":   "agent/config/reference.toml",
		"reach64-completion.ps1": filepath.Join(d.stage, "share/completion/reach64.powershell"),
	}
	if d.wintun.folder != "" {
		from["wintun.dll"] = d.wintun.library(t.arch)
		from["wintun-LICENSE.txt"] = d.wintun.licence()
	}
	sum := sha256.New()
	names := make([]string, 0, len(from))
	for name := range from {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		text, err := os.ReadFile(from[name])
		if err != nil {
			return "", fmt.Errorf("read for MSI: %w", err)
		}
		to := filepath.Join(stage, name)
		if err := put(to, text); err != nil {
			return "", err
		}
		if err := os.Chtimes(to, d.when, d.when); err != nil {
			return "", fmt.Errorf("set time: %w", err)
		}
		fmt.Fprintf(sum, "%s %x\n", name, sha256.Sum256(text))
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// msiVersion is the part of a version that Windows Installer knows: three numbers, of
// which the first two fit into a byte.
func msiVersion(version string) (string, error) {
	number, _, _ := strings.Cut(version, "-")
	for i, part := range strings.Split(number, ".") {
		highest := []uint64{255, 255, 65535}[i]
		if n, err := strconv.ParseUint(part, 10, 64); err != nil || n > highest {
			return "", fmt.Errorf("version %s: %s is more than %d, which an MSI cannot say", version, part, highest)
		}
	}
	return number, nil
}

// msiSpace is the name space of our GUIDs (RFC 9562 section 5.5). It stays, so that
// the same input gives the same ones.
var msiSpace = uuid.MustParse("5f0c6a1e-2b7d-4d39-9a44-c1e80f62b7d5")

func msiID(words ...string) string {
	return strings.ToUpper(uuid.NewSHA1(msiSpace, []byte(strings.Join(words, " "))).String())
}

// statements reads a file of SQL: one statement a line, with -- before comments.
func statements(file, version string) (out []string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read tables: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "--") {
			out = append(out, strings.ReplaceAll(line, "${VERSION}", version))
		}
	}
	return out, nil
}

// quiet runs a command that says something only when it drops a part of its input.
func quiet(c *exec.Cmd, what string) error {
	c.Env = append(os.Environ(), "TZ=UTC") // of the times in the cabinet
	out, err := c.CombinedOutput()
	if err == nil && len(out) > 0 {
		err = errors.New("it complains")
	}
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", what, err, out)
	}
	return nil
}

// needPrograms says what has to be installed for MSIs.
func needPrograms(names map[string]string) error {
	var packages []string
	for program, pack := range names {
		if _, err := exec.LookPath(program); errors.Is(err, exec.ErrNotFound) {
			packages = append(packages, pack)
		}
	}
	if len(packages) == 0 {
		return nil
	}
	slices.Sort(packages)
	return fmt.Errorf("programs for Windows' packages are missing: apt-get install %s (or leave Windows out with -only linux,darwin)", strings.Join(packages, " "))
}
