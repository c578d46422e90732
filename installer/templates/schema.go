package main

import (
	"encoding/json"
	"strconv"
)

// A property is a key in the JSON schema; the order of keys is that of the
// management tool's form.
type property struct {
	Title       string               `json:"title"`
	Description string               `json:"description,omitempty"`
	Order       int                  `json:"property_order,omitempty"`
	Type        string               `json:"type,omitempty"`
	Default     any                  `json:"default,omitempty"`
	Enum        []string             `json:"enum,omitempty"`
	Options     *options             `json:"options,omitempty"`
	Minimum     *int                 `json:"minimum,omitempty"`
	Maximum     *int                 `json:"maximum,omitempty"`
	Items       *property            `json:"items,omitempty"`
	Properties  map[string]*property `json:"properties,omitempty"`
	Required    []string             `json:"required,omitempty"`
	Closed      *bool                `json:"additionalProperties,omitempty"` // false: no other keys
}

type options struct {
	EnumTitles []string `json:"enum_titles"`
}

// serverDefaults are the values of a server's keys that it does not have.
var serverDefaults = map[string]any{
	"name": "", "port": int64(443), "ipv4": []any{}, "tls": true, "server_name": "", "ca_file": "", "pin_sha256": []any{}, "dns": []any{},
}

// schema describes the managed preferences: tables are dictionaries, servers a list
// of them.
func schema(defaults map[string]any) ([]byte, error) {
	one := object("Server", serverKeys, func(key string) any { return serverDefaults[key] })
	one.Required = []string{"name"}
	root := &property{Title: "reach64 (com.github.reach64)", Type: "object", Closed: new(bool),
		Description: "Settings of reach64. What is set here wins over the configuration file, the environment and the command line.",
		Properties: map[string]*property{"server": {Title: servers.title, Order: 1, Type: "array", Items: one,
			Description: "The backup servers that reach64 keeps reachable. They replace all servers of the configuration file."}}}
	for i, t := range tables {
		o := object(t.title, t.settings, func(key string) any { return defaults[t.name+"."+key] })
		o.Order = i + 2
		root.Properties[t.name] = o
	}
	text, err := json.MarshalIndent(root, "", "  ")
	return append(text, '\n'), err
}

func object(title string, settings []setting, def func(key string) any) *property {
	o := &property{Title: title, Type: "object", Properties: make(map[string]*property), Closed: new(bool)}
	for i, s := range settings {
		p := propertyOf(s, def(s.key))
		p.Order = i + 1
		o.Properties[s.key] = p
	}
	return o
}

func propertyOf(s setting, def any) *property {
	p := &property{Title: s.title, Description: s.explain + " Default: " + shown(def) + "."}
	switch def := def.(type) {
	case bool:
		p.Type, p.Default = "boolean", def
	case int64:
		p.Type, p.Default = "integer", def
		p.Minimum, p.Maximum = numberOf(s.low), numberOf(s.high)
	case []any:
		p.Type, p.Items = "array", &property{Title: s.title, Type: "string"}
	default:
		p.Type = "string"
		if s.low != "" {
			p.Description += " Range: " + s.low + " to " + s.high + "."
		}
	}
	if len(s.words) > 0 {
		p.Options, p.Default = &options{}, def
		for _, w := range s.words {
			p.Enum = append(p.Enum, w.value)
			p.Options.EnumTitles = append(p.Options.EnumTitles, w.title)
		}
	}
	return p
}

// numberOf is the end of a range, nil where there is none.
func numberOf(text string) *int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return nil
	}
	return &n
}
