package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Assign makes a layer of assignments such as "path.mode=off". Lists are separated by
// commas, or written as in TOML; "server=NAME[:PORT],..." gives all servers. With an
// error the layer has the assignments that are right.
func Assign(name string, assignments []string) (Layer, error) {
	held := make(map[string]Value)
	var errs []error
	for _, a := range assignments {
		key, text, ok := strings.Cut(a, "=")
		key = strings.TrimSpace(key)
		if !ok {
			errs = append(errs, fmt.Errorf("%s: %q is not of the form table.key=value", name, a))
			continue
		}
		v, err := valueOf(key, text)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		held[key] = Value{Key: key, Value: v}
	}
	text, err := toml.Marshal(nested(held))
	if err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	return Layer{name, text}, errors.Join(errs...)
}

// Environment makes a layer of variables such as REACH64_PATH_MODE=off and
// REACH64_SERVER=NAME[:PORT]. Variables whose second word is no table are none of ours.
func Environment(environ []string) (Layer, error) {
	const name = "environment"
	var assignments []string
	var errs []error
	for _, e := range environ {
		variable, text, _ := strings.Cut(e, "=")
		rest, ok := strings.CutPrefix(variable, "REACH64_")
		if !ok {
			continue
		}
		table, key, deep := strings.Cut(strings.ToLower(rest), "_")
		switch {
		case !slices.Contains(Keys(), table):
		case !deep && table == "server":
			assignments = append(assignments, "server="+text)
		case kindOf(table+"."+key) == nil:
			errs = append(errs, fmt.Errorf("%s: %s: %w", name, variable, unknown(table+"."+key)))
		default:
			assignments = append(assignments, table+"."+key+"="+text)
		}
	}
	slices.Sort(assignments)
	layer, err := Assign(name, assignments)
	return layer, errors.Join(append(errs, err)...)
}

// kindOf is the type of a key's value, nil for no such key. Those of servers are none:
// they belong to one of many.
func kindOf(key string) reflect.Type {
	table, last, _ := strings.Cut(key, ".")
	t := reflect.TypeFor[raw]()
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Tag.Get("toml") != table || f.Type.Kind() != reflect.Struct {
			continue
		}
		for j := range f.Type.NumField() {
			if g := f.Type.Field(j); g.Tag.Get("toml") == last {
				if g.Type.Kind() == reflect.Pointer {
					return g.Type.Elem()
				}
				return g.Type
			}
		}
	}
	return nil
}

func valueOf(key, text string) (any, error) {
	if key == "server" {
		return serversOf(text)
	}
	kind := kindOf(key)
	if kind == nil {
		return nil, unknown(key)
	}
	if strings.HasPrefix(text, "[") || strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "'") {
		var held struct{ V any }
		if err := toml.Unmarshal([]byte("V = "+text), &held); err != nil {
			return nil, fmt.Errorf("%s: %s is not written as TOML wants it: %w", key, text, err)
		}
		return held.V, nil
	}
	switch kind.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is neither true nor false", key, text)
		}
		return b, nil
	case reflect.Slice:
		return list(text), nil
	}
	return text, nil
}

// list splits at commas; of an empty text it is empty.
func list(text string) []string {
	out := []string{}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

func serversOf(text string) (any, error) {
	var out []map[string]any
	for _, one := range list(text) {
		name, port, ok := strings.Cut(one, ":")
		server := map[string]any{"name": name}
		if ok {
			n, err := strconv.Atoi(port)
			if err != nil {
				return nil, fmt.Errorf("server: %q is not of the form NAME[:PORT]", one)
			}
			server["port"] = n
		}
		out = append(out, server)
	}
	if out == nil {
		return nil, errors.New("server: names no server")
	}
	return out, nil
}

func unknown(key string) error {
	if strings.HasPrefix(key, "server.") {
		return fmt.Errorf("%s belongs to one server of many: give it in a file", key)
	}
	if near := nearest(strings.Split(key, ".")); near != "" {
		return fmt.Errorf("unknown key %q; did you mean %q?", key, near)
	}
	return fmt.Errorf("unknown key %q", key)
}
