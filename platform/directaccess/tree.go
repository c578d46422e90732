package directaccess

import (
	"slices"
	"strings"
)

// Kind is the type of a registry value.
type Kind uint8

// The kinds that policies use, and Other for all else, so that a value of a wrong type is
// a problem and not one that is missing.
const (
	Text   Kind = iota + 1 // REG_SZ, REG_EXPAND_SZ (not expanded)
	Texts                  // REG_MULTI_SZ
	Number                 // REG_DWORD, REG_QWORD that fits
	Other                  // bytes, and numbers that do not fit; without its content
)

// Value is one registry value.
type Value struct {
	Kind   Kind
	Texts  []string // of Text one, of Texts any number
	Number uint32
}

// Tree is a part of the registry: values by key and name. Neither has case.
type Tree struct {
	keys map[string]*key
}

// key is one key with its values.
type key struct {
	path   string // as written first
	values map[string]Value
}

// fold makes one spelling of a path: lower case, short name of the hive.
func fold(path string) string {
	path = strings.ToLower(strings.Trim(path, `\`))
	if rest, ok := strings.CutPrefix(path, `hkey_local_machine`); ok && (rest == "" || rest[0] == '\\') {
		return "hklm" + rest
	}
	return path
}

// Add adds a key without values. path is such as `HKLM\SOFTWARE\Policies`.
func (t *Tree) Add(path string) {
	if t.keys == nil {
		t.keys = make(map[string]*key)
	}
	if f := fold(path); t.keys[f] == nil {
		t.keys[f] = &key{path: strings.Trim(path, `\`), values: make(map[string]Value)}
	}
}

// Set sets a value, and adds its key if need be.
func (t *Tree) Set(path, name string, v Value) {
	t.Add(path)
	t.keys[fold(path)].values[strings.ToLower(name)] = v
}

// Delete removes a key with all below it.
func (t *Tree) Delete(path string) {
	f := fold(path)
	for k := range t.keys {
		if k == f || strings.HasPrefix(k, f+`\`) {
			delete(t.keys, k)
		}
	}
}

// Unset removes a value.
func (t *Tree) Unset(path, name string) {
	if k := t.keys[fold(path)]; k != nil {
		delete(k.values, strings.ToLower(name))
	}
}

// Get returns a value.
func (t Tree) Get(path, name string) (Value, bool) {
	k := t.keys[fold(path)]
	if k == nil {
		return Value{}, false
	}
	v, ok := k.values[strings.ToLower(name)]
	return v, ok
}

// Subkeys returns the names of the keys directly below path, sorted.
func (t Tree) Subkeys(path string) []string {
	above := fold(path) + `\`
	var out []string
	for f, k := range t.keys {
		rest, below := strings.CutPrefix(f, above)
		if below && !strings.Contains(rest, `\`) {
			out = append(out, k.path[strings.LastIndexByte(k.path, '\\')+1:])
		}
	}
	slices.Sort(out)
	return out
}

// Names returns the names of a key's values, sorted, in lower case.
func (t Tree) Names(path string) []string {
	k := t.keys[fold(path)]
	if k == nil {
		return nil
	}
	var out []string
	for name := range k.values {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// reader reads the values of one key and notes those of the wrong type.
type reader struct {
	tree   Tree
	key    string
	policy *Policy
}

func (r reader) problem(name, why string) {
	if len(r.policy.Problems) < maxProblems {
		r.policy.Problems = append(r.policy.Problems, Problem{Key: r.key, Name: name, Why: why})
	}
}

// maxProblems bounds what is noted.
const maxProblems = 64

// text returns a text without white space around it, empty if it is not set.
func (r reader) text(name string) string {
	v, ok := r.tree.Get(r.key, name)
	switch {
	case !ok:
		return ""
	case v.Kind == Text && len(v.Texts) == 1, v.Kind == Texts && len(v.Texts) == 1:
		return strings.TrimSpace(v.Texts[0])
	}
	r.problem(name, "want one text (REG_SZ)")
	return ""
}

// texts returns a list of texts; one text is taken as a list with semicolons.
func (r reader) texts(name string) []string {
	v, ok := r.tree.Get(r.key, name)
	switch {
	case !ok:
		return nil
	case v.Kind == Texts:
		return v.Texts
	case v.Kind == Text && len(v.Texts) == 1:
		return split(v.Texts[0], ";")
	}
	r.problem(name, "want texts (REG_MULTI_SZ)")
	return nil
}

// number returns a number, nil if it is not set.
func (r reader) number(name string) *uint32 {
	v, ok := r.tree.Get(r.key, name)
	switch {
	case !ok:
		return nil
	case v.Kind == Number:
		return &v.Number
	}
	r.problem(name, "want a number (REG_DWORD)")
	return nil
}

// split cuts a list at any of the separators and leaves out what is empty.
func split(s, separators string) []string {
	var out []string
	for _, part := range strings.FieldsFunc(s, func(c rune) bool { return strings.ContainsRune(separators, c) }) {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}
