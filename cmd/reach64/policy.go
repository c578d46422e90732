package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/reach64/reach64/agent/config"
	"github.com/reach64/reach64/agent/status"
	"github.com/reach64/reach64/platform/paths"
	"github.com/reach64/reach64/platform/policy"
)

// policyKey is a key that policy sets.
type policyKey struct {
	Key    string `json:"key"`
	Value  any    `json:"value"`
	Origin string `json:"origin"` // the file that wins, or the system's policy
	// Over is the value that would be in force without policy, and where it comes from.
	Over       any    `json:"over"`
	OverOrigin string `json:"over_origin"`
}

func policyCommand() *cobra.Command {
	var from configuration
	var asJSON bool
	c := &cobra.Command{
		Use:   "policy",
		Short: "Show which keys policy sets, and what it sets them over",
		RunE: func(c *cobra.Command, _ []string) error {
			files, keys, err := policies(from)
			if err != nil {
				return &exit{status.ExitConfig, err}
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), map[string]any{"files": files, "keys": keys})
			}
			return showPolicy(c.OutOrStdout(), files, keys)
		},
	}
	from.flags(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// policies are the files of policy, with the system's own place as the last, and the
// keys that they set.
func policies(from configuration) (files []string, keys []policyKey, err error) {
	files, err = filesIn(paths.PolicyDir())
	if err != nil {
		return nil, nil, err
	}
	system, err := policy.Read()
	if err != nil {
		return nil, nil, err
	}
	if len(system.Assignments) > 0 {
		files = append(files, system.Origin)
	}
	if len(files) == 0 {
		return []string{}, []policyKey{}, nil
	}
	_, values, layers, err := from.whole()
	if err != nil {
		return nil, nil, err
	}
	below := slices.DeleteFunc(layers, func(l config.Layer) bool { return slices.Contains(files, l.Name) })
	// What policy alone makes valid need not be valid without it: values are all that counts.
	_, others, _ := config.Merge(below, os.ReadFile)
	keys = []policyKey{}
	for _, v := range values {
		if !slices.Contains(files, v.Origin) {
			continue
		}
		k := policyKey{Key: v.Key, Value: v.Value, Origin: v.Origin, OverOrigin: config.Default}
		if i := slices.IndexFunc(others, func(o config.Value) bool { return o.Key == v.Key }); i >= 0 {
			k.Over, k.OverOrigin = others[i].Value, others[i].Origin
		}
		keys = append(keys, k)
	}
	return files, keys, nil
}

func showPolicy(out io.Writer, files []string, keys []policyKey) error {
	if len(files) == 0 {
		places := paths.PolicyDir()
		if policy.Place != "" {
			places += " or " + policy.Place
		}
		_, err := fmt.Fprintf(out, "no policy is in force: there is none in %s\n", places)
		return err
	}
	for _, f := range files {
		fmt.Fprintln(out, f)
		for _, k := range keys {
			if k.Origin == f {
				fmt.Fprintf(out, "  %s = %v, over %v from %s\n", k.Key, k.Value, k.Over, k.OverOrigin)
			}
		}
	}
	return nil
}
