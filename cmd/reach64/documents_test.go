package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var (
	called  = regexp.MustCompile(`(?:^|[\s/$('])reach64,? +([^#|;&>)"'` + "`" + `]+)`)
	isVerb  = regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`)
	comment = regexp.MustCompile(`(^|\s)#.*$`)
)

// TestCommandsInDocuments: what documents and examples tell people to type are verbs and flags that there are.
func TestCommandsInDocuments(t *testing.T) {
	commands := 0
	for _, file := range documents(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n, code := range codeOf(file, string(text)) {
			for _, found := range called.FindAllStringSubmatch(code, -1) {
				words := strings.FieldsFunc(found[1], func(r rune) bool { return strings.ContainsRune(" ,[]\\", r) })
				if len(words) == 0 || !isVerb.MatchString(words[0]) {
					continue
				}
				commands++
				if err := known(rootCommand(), words); err != nil {
					t.Errorf("%s:%d: %s: %v", file, n, found[0], err)
				}
			}
		}
	}
	if commands < 60 {
		t.Errorf("%d commands in the documents: they are not found", commands)
	}
}

func TestCommandsThatThereAreNot(t *testing.T) {
	for text, want := range map[string]string{
		"satus --check live": "no verb satus", "service frobnicate": "service has no verb frobnicate", "status --chek live": "no flag --chek", "doctor -z": "no flag -z",
		"status --check path -v": "", "dial HOST:PORT --explain": "",
	} {
		if err := known(rootCommand(), strings.Fields(text)); want == "" && err != nil || want != "" && !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// documents are all of them, and the examples.
func documents(t *testing.T) (files []string) {
	t.Helper()
	for _, top := range []string{"../../README.md", "../../docs", "../../installer/README.md", "../../installer/container", "../../installer/observability", "../../installer/rollout"} {
		err := filepath.WalkDir(top, func(file string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() && slices.Contains([]string{".md", ".sh", ".ps1", ".yml", ".yaml"}, filepath.Ext(file)) {
				files = append(files, file)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// codeOf are the lines of code in a file, without comments, by number: of a document those of its
// blocks, and what stands between backticks.
func codeOf(file, text string) map[int]string {
	out := make(map[int]string)
	fenced := false
	for i, line := range strings.Split(text, "\n") {
		fence := strings.HasPrefix(line, "```")
		if fence {
			fenced = !fenced
		}
		switch {
		case fence:
		case filepath.Ext(file) != ".md" || fenced || strings.HasPrefix(line, "    "):
			out[i+1] = comment.ReplaceAllString(line, "")
		default:
			for j, part := range strings.Split(line, "`") {
				if j%2 == 1 {
					out[i+1] += part + ";" // the end of a command
				}
			}
		}
	}
	return out
}

// known wants a verb with its flags.
func known(c *cobra.Command, words []string) error {
	c.InitDefaultHelpCmd()
	c.InitDefaultCompletionCmd()
	for len(words) > 0 {
		i := slices.IndexFunc(c.Commands(), func(sub *cobra.Command) bool { return sub.Name() == words[0] })
		if i < 0 {
			break
		}
		c, words = c.Commands()[i], words[1:]
	}
	if c.HasSubCommands() && len(words) > 0 && isVerb.MatchString(words[0]) {
		return fmt.Errorf("%s has no verb %s", c.CommandPath(), words[0])
	}
	for _, w := range words {
		if !strings.HasPrefix(w, "-") {
			continue
		}
		name, _, _ := strings.Cut(strings.TrimLeft(w, "-"), "=")
		flag := c.Flag(name)
		if !strings.HasPrefix(w, "--") && name != "" {
			flag = c.Flags().ShorthandLookup(name[:1])
		}
		if flag == nil && name != "help" {
			return fmt.Errorf("%s has no flag %s", c.CommandPath(), w)
		}
	}
	return nil
}
