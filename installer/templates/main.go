// Command templates writes the files by which management tools know the keys of
// the configuration: an administrative template for Windows (ADMX and ADML, as of
// [MS-GPREG]) and a JSON schema for managed preferences of macOS (the form that
// Jamf Pro takes).
//
// Types and defaults are those of agent/config, texts and ranges are in
// settings.go. Run it by `go generate ./installer/templates`; a test wants the
// files as it would write them.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/reach64/reach64/agent/config"
)

//go:generate go run . ../..

// The files, from the root of the source.
const (
	admxFile   = "installer/windows/policy/reach64.admx"
	admlFile   = "installer/windows/policy/en-US/reach64.adml"
	schemaFile = "installer/darwin/com.github.reach64.schema.json"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: templates ROOT")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "templates:", err)
		os.Exit(1)
	}
}

func write(root string) error {
	files, err := generate()
	if err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(root, name), text, 0o644); err != nil {
			return fmt.Errorf("write template: %w", err)
		}
	}
	return nil
}

// generate makes all files.
func generate() (map[string][]byte, error) {
	defaults, err := defaultsOf()
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	all := categories(defaults)
	for name, t := range map[string]string{admxFile: admxText, admlFile: admlText} {
		text, err := fill(t, all)
		if err != nil {
			return nil, fmt.Errorf("fill in %s: %w", name, err)
		}
		// Windows' editors expect its ends of lines.
		files[name] = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
	}
	if files[schemaFile], err = schema(defaults); err != nil {
		return nil, fmt.Errorf("write schema: %w", err)
	}
	return files, nil
}

// defaultsOf are the values of all keys where nobody sets any. The reference file
// has those of a server commented out; its example is none.
func defaultsOf() (map[string]any, error) {
	_, values, err := config.Merge(nil, os.ReadFile)
	if err != nil && !config.LacksServer(err) {
		return nil, fmt.Errorf("read defaults: %w", err)
	}
	out := make(map[string]any)
	for _, v := range values {
		out[v.Key] = v.Value
	}
	for _, t := range tables {
		for _, s := range t.settings {
			if _, ok := out[t.name+"."+s.key]; !ok {
				return nil, fmt.Errorf("%s.%s is no key of the configuration", t.name, s.key)
			}
		}
	}
	for _, s := range serverKeys {
		if !slices.Contains(config.Keys(), "server."+s.key) {
			return nil, fmt.Errorf("server.%s is no key of the configuration", s.key)
		}
	}
	return out, nil
}
