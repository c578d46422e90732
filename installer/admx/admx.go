// Package admx reads an administrative template of Windows (ADMX) with its texts
// (ADML) and tells which registry values an editor of group policy would write. It is
// strict: what it does not know, or what refers to nothing, is an error.
//
// It knows as much of the format ([MS-GPREG] section 7, "ADMX Syntax") as templates need
// that set values of one key: policies for machines with an on-off value or with one
// element of kind text, multiText, decimal or enum. It is for tests; it writes no
// registry.
package admx

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// A Template is an ADMX file with the texts of one language.
type Template struct{ Policies []Policy }

// A Policy sets one value.
type Policy struct {
	Name      string // as management services call it
	Category  string
	Key       string // of the registry, below HKEY_LOCAL_MACHINE
	Value     string // name of the value
	Kind      string // boolean, text, multiText, decimal or enum
	Low, High uint32 // of a decimal
	Words     []string
	Title     string
	Explain   string
	Shown     string // what the editor shows at first
}

// Read reads a template.
func Read(admx, adml io.Reader) (Template, error) {
	root, err := parse(admx, "policyDefinitions", definitions)
	if err != nil {
		return Template{}, fmt.Errorf("read ADMX: %w", err)
	}
	words, err := parse(adml, "policyDefinitionResources", resources)
	if err != nil {
		return Template{}, fmt.Errorf("read ADML: %w", err)
	}
	r := reader{strings: map[string]string{}, presentations: map[string]*node{}, used: map[string]bool{}, names: map[string]bool{}}
	for _, s := range words.all("resources", "stringTable", "string") {
		r.once("string", s.attrs["id"])
		r.strings[s.attrs["id"]] = s.text
	}
	for _, p := range words.all("resources", "presentationTable", "presentation") {
		r.once("presentation", p.attrs["id"])
		r.presentations[p.attrs["id"]] = p
	}
	t := r.template(root)
	for id := range r.strings {
		if !r.used["string."+id] {
			r.bad("no part of the ADMX refers to string %s", id)
		}
	}
	for id := range r.presentations {
		if !r.used["presentation."+id] {
			r.bad("no part of the ADMX refers to presentation %s", id)
		}
	}
	return t, errors.Join(r.errs...)
}

// reader follows references and collects what is wrong.
type reader struct {
	strings       map[string]string
	presentations map[string]*node
	used          map[string]bool // string.ID, presentation.ID
	names         map[string]bool // kind and name of what there may be one of
	errs          []error
}

func (r *reader) bad(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

func (r *reader) once(kind, name string) {
	if r.names[kind+" "+name] {
		r.bad("%s %s is there twice", kind, name)
	}
	r.names[kind+" "+name] = true
}

// refer reads "$(string.ID)" or "$(presentation.ID)" and returns the ID.
func (r *reader) refer(table, text string) string {
	id, ok := strings.CutPrefix(strings.TrimSuffix(text, ")"), "$("+table+".")
	if !ok || !strings.HasSuffix(text, ")") {
		r.bad("%q is not of the form $(%s.ID)", text, table)
	}
	r.used[table+"."+id] = true
	return id
}

func (r *reader) text(ref string) string {
	id := r.refer("string", ref)
	if r.strings[id] == "" {
		r.bad("there is no string %s in the ADML", id)
	}
	return r.strings[id]
}

func (r *reader) template(root *node) (t Template) {
	for _, d := range root.all("supportedOn", "definitions", "definition") {
		r.once("definition", d.attrs["name"])
		r.text(d.attrs["displayName"])
	}
	for _, c := range root.all("categories", "category") {
		r.once("category", c.attrs["name"])
		r.text(c.attrs["displayName"])
		if c.attrs["explainText"] != "" {
			r.text(c.attrs["explainText"])
		}
		r.known("category", c.child("parentCategory"))
	}
	for _, p := range root.all("policies", "policy") {
		r.once("policy", p.attrs["name"])
		r.known("category", p.child("parentCategory"))
		r.known("definition", p.child("supportedOn"))
		t.Policies = append(t.Policies, r.policy(p))
	}
	return t
}

// known wants the target of a reference, which has been read before it.
func (r *reader) known(kind string, ref *node) {
	if ref != nil && !r.names[kind+" "+ref.attrs["ref"]] {
		r.bad("there is no %s %s", kind, ref.attrs["ref"])
	}
}

func (r *reader) policy(n *node) Policy {
	p := Policy{Name: n.attrs["name"], Key: n.attrs["key"], Title: r.text(n.attrs["displayName"]), Explain: r.text(n.attrs["explainText"])}
	if c := n.child("parentCategory"); c != nil {
		p.Category = c.attrs["ref"]
	}
	if n.attrs["class"] != "Machine" {
		r.bad("policy %s: class %q, want Machine", p.Name, n.attrs["class"])
	}
	elements := n.child("elements")
	if elements == nil {
		p.Kind, p.Value = "boolean", n.attrs["valueName"]
		on, off := n.all("enabledValue", "decimal"), n.all("disabledValue", "decimal")
		if p.Value == "" || len(on) != 1 || len(off) != 1 || on[0].attrs["value"] != "1" || off[0].attrs["value"] != "0" {
			r.bad("policy %s: want a valueName, 1 when enabled and 0 when disabled", p.Name)
		}
		return p
	}
	if len(elements.children) != 1 {
		r.bad("policy %s: %d elements, want one", p.Name, len(elements.children))
		return p
	}
	e := elements.children[0]
	p.Kind, p.Value = e.name, e.attrs["valueName"]
	for _, i := range e.children {
		r.text(i.attrs["displayName"])
		for _, v := range i.all("value", "string") {
			p.Words = append(p.Words, v.text)
		}
	}
	if e.name == "decimal" {
		p.Low, p.High = r.number(e.attrs["minValue"]), r.number(e.attrs["maxValue"])
	}
	r.present(n, e, &p)
	return p
}

// number reads what a REG_DWORD can hold.
func (r *reader) number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		r.bad("%q is no number of 32 bits", text)
	}
	return uint32(n)
}

// controls of the editor go with elements.
var controls = map[string]string{"text": "textBox", "multiText": "multiTextBox", "decimal": "decimalTextBox", "enum": "dropdownList"}

// present reads how the editor asks for the element.
func (r *reader) present(n, e *node, p *Policy) {
	id := r.refer("presentation", n.attrs["presentation"])
	pres := r.presentations[id]
	if pres == nil || len(pres.children) != 1 {
		r.bad("policy %s: want presentation %s with one control", p.Name, id)
		return
	}
	c := pres.children[0]
	if c.name != controls[e.name] || c.attrs["refId"] != e.attrs["id"] || e.attrs["id"] == "" {
		r.bad("policy %s: %s for %q, want %s for %q", p.Name, c.name, c.attrs["refId"], controls[e.name], e.attrs["id"])
	}
	p.Shown = c.attrs["defaultValue"]
	if d := c.child("defaultValue"); d != nil {
		p.Shown = d.text
	}
	if text := c.attrs["defaultItem"]; text != "" {
		if i := int(r.number(text)); i < len(p.Words) {
			p.Shown = p.Words[i]
		} else {
			r.bad("policy %s: there is no item %d", p.Name, i)
		}
	}
}
