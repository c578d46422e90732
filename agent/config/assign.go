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
// commas, or written as in TOML; "server=NAME[:PORT],..." gives all servers, and a server
// in a TOML list may be an inline table. With an error the layer has the assignments
// that are right.
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
	quoted := strings.HasPrefix(text, `"`) || strings.HasPrefix(text, "'")
	// An address such as [::1]:53 is no list.
	if quoted || kind.Kind() == reflect.Slice && strings.HasPrefix(text, "[") {
		return inTOML(key, text)
	}
	switch kind.Kind() {
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is neither true nor false", key, text)
		}
		return b, nil
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a whole number", key, text)
		}
		return n, nil
	case reflect.Slice:
		return list(text), nil
	}
	return text, nil
}

// inTOML reads a value that is written as in the file.
func inTOML(key, text string) (any, error) {
	var held struct{ V any }
	if err := toml.Unmarshal([]byte("V = "+text), &held); err != nil {
		return nil, fmt.Errorf("%s: %s is not written as TOML wants it: %w", key, text, err)
	}
	return held.V, nil
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
	var entries []any
	if strings.HasPrefix(text, "[") {
		v, err := inTOML("server", text)
		if err != nil {
			return nil, err
		}
		entries, _ = v.([]any)
	} else {
		for _, one := range list(text) {
			entries = append(entries, one)
		}
	}
	var out []map[string]any
	for _, e := range entries {
		server, err := serverOf(e)
		if err != nil {
			return nil, err
		}
		out = append(out, server)
	}
	if out == nil {
		return nil, errors.New("server: names no server")
	}
	return out, nil
}

// serverOf is one server: a table, a text with an inline table, or NAME[:PORT].
func serverOf(entry any) (map[string]any, error) {
	text, ok := entry.(string)
	if ok && strings.HasPrefix(text, "{") {
		v, err := inTOML("server", text)
		if err != nil {
			return nil, err
		}
		entry = v
	} else if ok {
		name, port, ok := strings.Cut(text, ":")
		if !ok {
			return map[string]any{"name": name}, nil
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return nil, fmt.Errorf("server: %q is not of the form NAME[:PORT]", text)
		}
		return map[string]any{"name": name, "port": n}, nil
	}
	table, ok := entry.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("server: %v is neither NAME[:PORT] nor a table", entry)
	}
	return table, nil
}

func unknown(key string) error {
	if strings.HasPrefix(key, "server.") {
		return fmt.Errorf("%s belongs to one server of many: give it in a file, or in the entry of server: { name = \"...\", %s = ... }", key, strings.TrimPrefix(key, "server."))
	}
	if near := nearest(strings.Split(key, ".")); near != "" {
		return fmt.Errorf("unknown key %q; did you mean %q?", key, near)
	}
	return fmt.Errorf("unknown key %q", key)
}
