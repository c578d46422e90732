package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"
	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/status"
)

func configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Show or check the configuration", Args: func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return &exit{status.ExitUsage, fmt.Errorf("config has no verb %q; see reach64 config --help", args[0])}
		}
		return nil
	}, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(configShowCommand(), configCheckCommand())
	return c
}

func configShowCommand() *cobra.Command {
	var from configuration
	var origin, reference, asJSON bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration in force",
		Long: "Prints every key as it is in force, defaults included. The strongest source wins: policy files,\n" +
			"--set, REACH64_TABLE_KEY in the environment, conf.d (a later name over an earlier), the file,\n" +
			"what the installer of Windows was told.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if reference {
				_, err := io.WriteString(c.OutOrStdout(), config.Reference)
				return err
			}
			_, values, err := from.values()
			switch {
			case err != nil:
				return &exit{status.ExitConfig, err}
			case asJSON:
				return showValuesJSON(c.OutOrStdout(), values)
			}
			return showValues(c.OutOrStdout(), values, origin)
		},
	}
	from.flags(c)
	c.Flags().BoolVar(&origin, "origin", false, "say beside each key where it comes from")
	c.Flags().BoolVar(&reference, "reference", false, "print the reference file, with every key explained")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the origin of each key")
	return c
}

func configCheckCommand() *cobra.Command {
	var from configuration
	c := &cobra.Command{
		Use:   "check",
		Short: "Say whether the configuration is valid, and what is wrong",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			layers, err := from.layers()
			if _, all := from.load(); all != nil {
				err = all
			}
			if err != nil {
				return &exit{status.ExitConfig, err}
			}
			for _, l := range layers {
				fmt.Fprintf(c.OutOrStdout(), "%s: ok\n", l.Name)
			}
			return nil
		},
	}
	from.flags(c)
	return c
}

// showValues prints TOML that could be read again.
func showValues(w io.Writer, values []config.Value, origin bool) error {
	table := ""
	for _, v := range values {
		name, key, ok := strings.Cut(v.Key, ".")
		if !ok {
			if origin {
				fmt.Fprintf(w, "# from %s\n", v.Origin)
			}
			text, err := toml.Marshal(map[string]any{v.Key: v.Value})
			if err != nil {
				return fmt.Errorf("print %s: %w", v.Key, err)
			}
			fmt.Fprintf(w, "%s", text)
			continue
		}
		if name != table {
			fmt.Fprintf(w, "\n[%s]\n", name)
			table = name
		}
		text, err := toml.Marshal(map[string]any{key: v.Value})
		if err != nil {
			return fmt.Errorf("print %s: %w", v.Key, err)
		}
		line := strings.TrimSpace(string(text))
		if origin {
			line = fmt.Sprintf("%-40s # from %s", line, v.Origin)
		}
		fmt.Fprintln(w, line)
	}
	return nil
}

func showValuesJSON(w io.Writer, values []config.Value) error {
	type value struct {
		Key    string `json:"key"`
		Value  any    `json:"value"`
		Origin string `json:"origin"`
	}
	keys := []value{}
	for _, v := range values {
		keys = append(keys, value(v))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(status.Wrap(time.Now(), version, map[string]any{"keys": keys}))
}
