package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/platform/policy"
)

// configuration is where a verb's configuration comes from.
type configuration struct {
	file    string
	set     []string
	dropIns string // folder of drop-ins; "": conf.d beside the file
}

// flags adds --config and --set.
func (c *configuration) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.file, "config", paths.ConfigFile(), "configuration file; drop-ins lie in conf.d beside it")
	cmd.Flags().StringArrayVar(&c.set, "set", nil, "a key and its value over those of files and environment, such as path.mode=off")
}

// layers reads every source, the weakest first: what the installer was told, the file,
// its drop-ins, the environment, the command line, policy in files and of the system.
// The file of this system may be missing where another source is there; one that was
// named may not.
func (c configuration) layers() ([]config.Layer, error) {
	var out []config.Layer
	var errs []error
	add := func(file string) {
		text, err := os.ReadFile(file)
		if err != nil {
			errs = append(errs, fmt.Errorf("read configuration: %w", err))
			return
		}
		out = append(out, config.Layer{Name: file, Text: text})
	}
	if c.dropIns == "" {
		c.dropIns = filepath.Join(filepath.Dir(c.file), "conf.d")
	}
	dropIns, err := filesIn(c.dropIns)
	errs = append(errs, err)
	told, err := policy.Installed()
	errs = append(errs, err)
	installed, err := config.Assign(told.Origin, told.Assignments)
	errs = append(errs, err)
	if len(installed.Text) > 0 {
		out = append(out, installed)
	}
	policies, err := filesIn(paths.PolicyDir())
	errs = append(errs, err)
	environment, err := config.Environment(os.Environ())
	errs = append(errs, err)
	set, err := config.Assign("--set", c.set)
	errs = append(errs, err)
	system, err := policy.Read()
	errs = append(errs, err)
	managed, err := config.Assign(system.Origin, system.Assignments)
	errs = append(errs, err)
	others := len(installed.Text) + len(dropIns) + len(policies) + len(environment.Text) + len(set.Text) + len(managed.Text)
	if _, err := os.Stat(c.file); !errors.Is(err, fs.ErrNotExist) || others == 0 || c.file != paths.ConfigFile() {
		add(c.file)
	}
	for _, file := range dropIns {
		add(file)
	}
	for _, layer := range []config.Layer{environment, set} {
		if len(layer.Text) > 0 {
			out = append(out, layer)
		}
	}
	for _, file := range policies {
		add(file)
	}
	if len(managed.Text) > 0 {
		out = append(out, managed)
	}
	return out, errors.Join(errs...)
}

// loaded tells which files the layers hold, and what is in them. Environment and
// command line are those of one process, and not compared.
func loaded(layers []config.Layer, at time.Time) status.Configuration {
	c := status.Configuration{Files: []string{}, LoadedAt: at.UTC().Truncate(time.Millisecond)}
	h := sha256.New()
	for _, l := range layers {
		if filepath.IsAbs(l.Name) || strings.HasSuffix(l.Name, ".toml") {
			name := absolute(l.Name)
			c.Files = append(c.Files, name)
			fmt.Fprintf(h, "%s %d\n", name, len(l.Text))
			h.Write(l.Text)
		}
	}
	c.Digest = hex.EncodeToString(h.Sum(nil))
	return c
}

// absolute is the file's name from the root on, as far as that can be told.
func absolute(name string) string {
	if abs, err := filepath.Abs(name); err == nil {
		return abs
	}
	return name
}

// filesIn are the TOML files of a folder, in the order of their names; of one that
// does not exist none.
func filesIn(dir string) (out []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".toml") && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out, nil
}

// load reads and checks the configuration.
func (c configuration) load() (config.Config, error) {
	conf, _, err := c.values()
	return conf, err
}

func (c configuration) values() (config.Config, []config.Value, error) {
	conf, values, _, err := c.whole()
	return conf, values, err
}

// whole is values with what they were read from.
func (c configuration) whole() (config.Config, []config.Value, []config.Layer, error) {
	layers, err := c.layers()
	var unread *fs.PathError
	if errors.As(err, &unread) {
		return config.Config{}, nil, layers, err // what the file holds may make the rest right
	}
	conf, values, wrong := config.Merge(layers, os.ReadFile)
	if err = errors.Join(err, wrong); err != nil {
		return config.Config{}, nil, layers, err
	}
	return conf, values, layers, nil
}
