package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Layer is one source of configuration: a file, the environment, the command line.
type Layer struct {
	Name string // what a person calls it, such as the file's path
	Text []byte // TOML
}

// Value is one key as it is in force.
type Value struct {
	Key    string // table.key, or "server" for all servers
	Value  any    // as TOML has it
	Origin string // the layer's Name, or Default
}

// Default is the origin of what no layer says.
const Default = "default"

// Merge lays layers over one another, the strongest last. A key in a stronger layer
// replaces that of a weaker one, a list as a whole; so does its list of servers. The
// values are those of all keys, in the reference's order. Errors name the layer.
func Merge(layers []Layer, read ReadFile) (Config, []Value, error) {
	held := make(map[string]Value)
	var errs []error
	for _, l := range layers {
		values, err := l.values()
		errs = append(errs, err)
		for _, v := range values {
			held[v.Key] = v
		}
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, nil, err
	}
	r, err := assemble(held)
	if err != nil {
		return Config{}, nil, err
	}
	main := "configuration"
	if len(layers) > 0 {
		main = layers[0].Name
	}
	v := validator{file: main, read: read, origins: held}
	c := v.config(r)
	return c, complete(held), errors.Join(v.errs...)
}

// values reads a layer by itself.
func (l Layer) values() (out []Value, err error) {
	var r raw
	dec := toml.NewDecoder(strings.NewReader(string(l.Text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return nil, explain(l.Name, err)
	}
	var tables map[string]any
	if err := toml.Unmarshal(l.Text, &tables); err != nil {
		return nil, explain(l.Name, err)
	}
	for table, v := range tables {
		keys, ok := v.(map[string]any)
		if !ok {
			out = append(out, Value{table, v, l.Name})
			continue
		}
		for key, v := range keys {
			out = append(out, Value{table + "." + key, v, l.Name})
		}
	}
	return out, nil
}

// assemble makes one file of the values.
func assemble(held map[string]Value) (r raw, err error) {
	text, err := toml.Marshal(nested(held))
	if err == nil {
		err = toml.Unmarshal(text, &r)
	}
	if err != nil {
		return raw{}, fmt.Errorf("merge configuration: %w", err)
	}
	return r, nil
}

func nested(held map[string]Value) map[string]any {
	tables := make(map[string]any)
	for name, v := range held {
		table, key, ok := strings.Cut(name, ".")
		if !ok {
			tables[table] = v.Value
			continue
		}
		t, _ := tables[table].(map[string]any)
		if t == nil {
			t = make(map[string]any)
			tables[table] = t
		}
		t[key] = v.Value
	}
	return tables
}

// complete adds the defaults and brings the keys into order.
func complete(held map[string]Value) (out []Value) {
	defaults := defaultValues()
	for _, key := range Keys() {
		v, ok := held[key]
		if !ok {
			v, ok = defaults[key]
		}
		if ok {
			out = append(out, v)
		}
	}
	return out
}

// defaultValues are those that the reference file shows commented out, without its
// example of a server.
func defaultValues() map[string]Value {
	var lines []string
	_, text, _ := strings.Cut(Reference, "\n[path]\n")
	for line := range strings.SplitSeq("[path]\n"+text, "\n") {
		if rest, ok := strings.CutPrefix(line, "# "); ok && strings.Contains(rest, " = ") {
			line = rest
		}
		lines = append(lines, line)
	}
	values, err := Layer{Default, []byte(strings.Join(lines, "\n"))}.values()
	if err != nil {
		panic(err) // the text is part of the program, and a test reads it
	}
	out := make(map[string]Value)
	for _, v := range values {
		out[v.Key] = v
	}
	return out
}

// originOf names the layer that a key came from. Key may be deeper than a value, such
// as "server[1].name" or "discovery.prefixes[2]".
func (v *validator) originOf(key string) string {
	short, _, _ := strings.Cut(key, "[")
	if held, ok := v.origins[short]; ok {
		return held.Origin
	}
	return v.file
}

// Diff lists the keys that differ between two results of Merge, in order.
func Diff(old, now []Value) (keys []string) {
	of := func(list []Value, key string) any {
		i := slices.IndexFunc(list, func(v Value) bool { return v.Key == key })
		if i < 0 {
			return nil
		}
		return list[i].Value
	}
	for _, key := range Keys() {
		if !reflect.DeepEqual(of(old, key), of(now, key)) {
			keys = append(keys, key)
		}
	}
	return keys
}
