package admx

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// namespace of both files.
const namespace = "http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions"

// A node is an element of XML.
type node struct {
	name     string
	attrs    map[string]string
	text     string
	children []*node
}

// A shape is what an element may have. The children come in this order, any number of each.
type shape struct{ attrs, children []string }

func of(attrs, children string) shape { return shape{strings.Fields(attrs), strings.Fields(children)} }

// definitions are the elements of an ADMX file; an attribute with ! must be there.
var definitions = map[string]shape{
	"policyDefinitions": of("!revision !schemaVersion", "policyNamespaces resources supportedOn categories policies"),
	"policyNamespaces":  of("", "target using"),
	"target":            of("!prefix !namespace", ""),
	"resources":         of("!minRequiredRevision", ""),
	"supportedOn":       of("ref", "definitions"),
	"definitions":       of("", "definition"),
	"definition":        of("!name !displayName", ""),
	"categories":        of("", "category"),
	"category":          of("!name !displayName explainText", "parentCategory"),
	"parentCategory":    of("!ref", ""),
	"policies":          of("", "policy"),
	"policy":            of("!name !class !displayName !explainText !key valueName presentation", "parentCategory supportedOn enabledValue disabledValue elements"),
	"enabledValue":      of("", "decimal"),
	"disabledValue":     of("", "decimal"),
	"elements":          of("", "text multiText decimal enum"),
	"text":              of("!id !valueName required", ""),
	"multiText":         of("!id !valueName required", ""),
	"decimal":           of("id valueName required minValue maxValue value", ""),
	"enum":              of("!id !valueName required", "item"),
	"item":              of("!displayName", "value"),
	"value":             of("", "string"),
	"string":            of("", ""),
}

// resources are those of an ADML file.
var resources = map[string]shape{
	"policyDefinitionResources": of("!revision !schemaVersion", "displayName description resources"),
	"displayName":               of("", ""),
	"description":               of("", ""),
	"resources":                 of("", "stringTable presentationTable"),
	"stringTable":               of("", "string"),
	"string":                    of("!id", ""),
	"presentationTable":         of("", "presentation"),
	"presentation":              of("!id", "textBox multiTextBox decimalTextBox dropdownList"),
	"textBox":                   of("!refId", "label defaultValue"),
	"label":                     of("", ""),
	"defaultValue":              of("", ""),
	"multiTextBox":              of("!refId", ""),
	"decimalTextBox":            of("!refId defaultValue", ""),
	"dropdownList":              of("!refId noSort defaultItem", ""),
}

// parse reads a file with this root, whose elements have these shapes.
func parse(r io.Reader, root string, shapes map[string]shape) (*node, error) {
	d := xml.NewDecoder(r)
	top := &node{}
	open := []*node{top}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		here := open[len(open)-1]
		switch token := token.(type) {
		case xml.StartElement:
			n, err := begin(token, shapes)
			if err != nil {
				line, _ := d.InputPos()
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			here.children = append(here.children, n)
			open = append(open, n)
		case xml.EndElement:
			here.text = strings.TrimSpace(here.text)
			if err := here.check(shapes[here.name]); err != nil {
				line, _ := d.InputPos()
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			open = open[:len(open)-1]
		case xml.CharData:
			here.text += string(token)
		}
	}
	if len(top.children) != 1 || top.children[0].name != root {
		return nil, fmt.Errorf("the root is not %s", root)
	}
	return top.children[0], nil
}

func begin(e xml.StartElement, shapes map[string]shape) (*node, error) {
	n := &node{name: e.Name.Local, attrs: map[string]string{}}
	s, ok := shapes[n.name]
	if !ok || e.Name.Space != namespace {
		return nil, fmt.Errorf("there is no element %s in namespace %q", n.name, e.Name.Space)
	}
	for _, a := range e.Attr {
		if a.Name.Space == "xmlns" || a.Name.Local == "xmlns" {
			continue
		}
		if !slices.Contains(s.attrs, a.Name.Local) && !slices.Contains(s.attrs, "!"+a.Name.Local) {
			return nil, fmt.Errorf("%s has no attribute %s", n.name, a.Name.Local)
		}
		n.attrs[a.Name.Local] = a.Value
	}
	for _, want := range s.attrs {
		if name, must := strings.CutPrefix(want, "!"); must && n.attrs[name] == "" {
			return nil, fmt.Errorf("%s lacks the attribute %s", n.name, name)
		}
	}
	return n, nil
}

// check wants children that may be there, in their order, and text only where
// there are none.
func (n *node) check(s shape) error {
	last := 0
	for _, c := range n.children {
		i := slices.Index(s.children, c.name)
		if i < 0 {
			return fmt.Errorf("%s in %s", c.name, n.name)
		}
		// The controls and elements of one policy are in any order.
		if i < last && n.name != "elements" && n.name != "presentation" {
			return fmt.Errorf("%s after %s in %s", c.name, s.children[last], n.name)
		}
		last = i
	}
	if len(n.children) > 0 && n.text != "" {
		return fmt.Errorf("%q in %s", n.text, n.name)
	}
	return nil
}

// child is the first one of this name, nil where there is none.
func (n *node) child(name string) *node {
	for _, c := range n.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// all are the elements at the end of a path.
func (n *node) all(path ...string) (out []*node) {
	if len(path) == 0 {
		return []*node{n}
	}
	for _, c := range n.children {
		if c.name == path[0] {
			out = append(out, c.all(path[1:]...)...)
		}
	}
	return out
}
