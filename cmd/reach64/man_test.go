package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/reach64/reach64/agent/config"
)

// TestManPages: the pages are what the verbs say of themselves.
func TestManPages(t *testing.T) {
	pages := map[string][]byte{"reach64.toml.5": configPage()}
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) // the same on every day
	header := doc.GenManHeader{Title: "REACH64", Section: "1", Source: "reach64", Manual: "reach64", Date: &day}
	root := rootCommand()
	root.InitDefaultHelpCmd()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if !c.IsAvailableCommand() && c != root || c.Name() == "completion" && c.HasParent() && c.Parent() != root {
			return
		}
		c.DisableAutoGenTag = true
		var b bytes.Buffer
		h := header
		h.Title = strings.ToUpper(strings.ReplaceAll(c.CommandPath(), " ", "-"))
		if err := doc.GenMan(c, &h, &b); err != nil {
			t.Fatal(err)
		}
		pages[strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"] = b.Bytes()
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
	for _, name := range []string{"reach64.1", "reach64-doctor.1", "reach64-config-show.1"} {
		if pages[name] == nil {
			t.Fatalf("no page %s", name)
		}
	}
	if *update {
		if err := os.MkdirAll("man", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range pages {
		generated(t, filepath.Join("man", name), text)
	}
	have, err := os.ReadDir("man")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range have {
		if pages[f.Name()] == nil {
			t.Errorf("man/%s belongs to no verb", f.Name())
		}
	}
}

// configPage is reach64.toml(5): the reference file, word for word.
func configPage() []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, ".nh\n.TH \"REACH64.TOML\" \"5\" \"Nov 2026\" \"reach64\" \"reach64\"\n.SH NAME\nreach64.toml - configuration of reach64\n"+
		".SH DESCRIPTION\nThe file is TOML and strict: an unknown key is an error. Over it lie, each stronger than the one before,\n"+
		"conf.d/*.toml beside it, the environment (REACH64_TABLE_KEY), --set, and policy.d/*.toml.\n"+
		"reach64 config show --origin tells what is in force and why, reach64 config check names every mistake.\n"+
		".SH KEYS\n.EX\n")
	for line := range strings.Lines(config.Reference) {
		line = strings.ReplaceAll(line, `\`, `\e`)
		line = strings.ReplaceAll(line, "-", `\-`)
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			line = `\&` + line
		}
		b.WriteString(line)
	}
	fmt.Fprint(&b, ".EE\n.SH FILES\n/etc/reach64/reach64.toml, /etc/reach64/conf.d, /etc/reach64/policy.d\n.SH SEE ALSO\nreach64(1), reach64\\-config(1), reach64\\-policy(1)\n")
	return b.Bytes()
}

// TestEveryVerbIsInTheManual: what a user can type has a sentence.
func TestEveryVerbIsInTheManual(t *testing.T) {
	for _, c := range rootCommand().Commands() {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short text %q", c.Name(), c.Short)
		}
	}
	names := []string{}
	for _, c := range rootCommand().Commands() {
		names = append(names, c.Name())
	}
	for _, want := range strings.Fields("run status doctor discover explain resolve dial forward probe translate logs metrics config policy cleanup version licenses completion man") {
		if !slices.Contains(names, want) && want != "completion" {
			t.Errorf("there is no verb %s", want)
		}
	}
}
