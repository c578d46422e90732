package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// sbom lists the modules of a binary in CycloneDX (ECMA-424), without serial
// number and time, so that equal binaries give equal lists.
func (d *dist) sbom(ctx context.Context, t target, binary string) error {
	file := filepath.Join(d.out, fmt.Sprintf("reach64-%s-%s-%s.cdx.json", d.version, t.os, t.arch))
	c := exec.CommandContext(ctx, d.tools["cyclonedx-gomod"], "bin", "-json", "-noserial", "-notimestamp", "-version", "v"+d.version, "-output", file, binary)
	return call(c, "list modules")
}
