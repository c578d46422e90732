package main

import (
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/status"
)

// manPages are made of the verbs by a test, which also compares them: NAME.SECTION.
//
//go:embed man
var manPages embed.FS

func manCommand() *cobra.Command {
	var dir string
	c := &cobra.Command{
		Use:   "man [PAGE]",
		Short: "Print a manual page, or write all",
		Long: "Print a manual page in roff: reach64, reach64.toml, or one of a verb, such as reach64-doctor.\n" +
			"Read it by: reach64 man reach64-doctor | man -l -",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &exit{status.ExitUsage, fmt.Errorf("man takes one page at most, got %d arguments", len(args))}
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if dir != "" {
				return writeManPages(dir)
			}
			return printManPage(c.OutOrStdout(), append(args, "reach64")[0])
		},
	}
	c.Flags().StringVar(&dir, "dir", "", "write all pages into this folder, in man1 and man5")
	return c
}

// printManPage prints a page by its name, with or without its section.
func printManPage(out io.Writer, name string) error {
	pages, err := manPages.ReadDir("man")
	if err != nil {
		return err
	}
	var names []string
	for _, p := range pages {
		base := strings.TrimSuffix(p.Name(), filepath.Ext(p.Name()))
		if name == base || name == p.Name() || "reach64-"+name == base {
			text, err := manPages.ReadFile("man/" + p.Name())
			if err != nil {
				return err
			}
			_, err = out.Write(text)
			return err
		}
		names = append(names, base)
	}
	return &exit{status.ExitUsage, fmt.Errorf("there is no page %q; there are %s", name, strings.Join(names, ", "))}
}

func writeManPages(dir string) error {
	return fs.WalkDir(manPages, "man", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := manPages.ReadFile(path)
		if err != nil {
			return err
		}
		folder := filepath.Join(dir, "man"+strings.TrimPrefix(filepath.Ext(path), "."))
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("write manual pages: %w", err)
		}
		if err := os.WriteFile(filepath.Join(folder, d.Name()), text, 0o644); err != nil {
			return fmt.Errorf("write manual pages: %w", err)
		}
		return nil
	})
}
