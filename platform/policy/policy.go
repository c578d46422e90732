// Package policy reads what the administrator of many machines has set: the registry
// on Windows (HKLM\SOFTWARE\Policies\Reach64), managed preferences on macOS
// (/Library/Managed Preferences), and what Windows' installer was told
// (HKLM\SOFTWARE\Reach64). It returns assignments such as "path.mode=off",
// with the keys of the configuration file.
//
// It does not know which keys there are (agent/config does), and reads no folder of
// policy files, which is the same on all systems.
package policy

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Policy is what a system's policy says. The zero value is none.
type Policy struct {
	Origin      string   // where it is, for people
	Assignments []string // sorted
}

// Read reads the policy of this machine; none is no error. With an error the policy
// has what could be read.
func Read() (Policy, error) { return read() }

// maxDepth bounds how deep dictionaries are nested.
const maxDepth = 4

// Assignments flattens the values of a policy: a text, number or truth value by its
// key, a list with commas, or as in TOML where it holds commas or dictionaries, and
// a dictionary by its keys with dots. With an error there are those that are right.
func Assignments(values map[string]any) (out []string, err error) {
	var errs []error
	var walk func(prefix string, values map[string]any, depth int)
	walk = func(prefix string, values map[string]any, depth int) {
		for name, v := range values {
			key := prefix + name
			if nested, ok := v.(map[string]any); ok && depth < maxDepth {
				walk(key+".", nested, depth+1)
				continue
			}
			text, err := textOf(v)
			if err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", key, err))
				continue
			}
			out = append(out, key+"="+text)
		}
	}
	walk("", values, 1)
	slices.Sort(out)
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return out, errors.Join(errs...)
}

func textOf(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool, int, int64, uint32, uint64:
		return fmt.Sprint(v), nil
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return fmt.Sprintf("%.0f", v), nil
		}
	case []string:
		return listOf(v)
	case []any:
		plain := []string{}
		for _, x := range v {
			switch x := x.(type) {
			case string:
				plain = append(plain, x)
			case map[string]any:
			default:
				return "", fmt.Errorf("the list holds %T, want texts", x)
			}
		}
		if len(plain) == len(v) {
			return listOf(plain)
		}
		return inTOML(v)
	}
	return "", fmt.Errorf("is of a type that no key has (%T)", v)
}

// listOf separates the entries by commas where none has one itself.
func listOf(list []string) (string, error) {
	if slices.ContainsFunc(list, func(s string) bool { return strings.ContainsRune(s, ',') }) {
		return inTOML(list)
	}
	return strings.Join(list, ","), nil
}

// inTOML writes a list on one line.
func inTOML(list any) (string, error) {
	var b bytes.Buffer
	enc := toml.NewEncoder(&b).SetTablesInline(true)
	if err := enc.Encode(map[string]any{"v": list}); err != nil {
		return "", fmt.Errorf("write list: %w", err)
	}
	return strings.TrimSpace(strings.TrimPrefix(b.String(), "v = ")), nil
}
