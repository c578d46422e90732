package directaccess

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// The bounds of what ParseReg takes.
const (
	maxReg    = 16 << 20 // bytes
	maxKeys   = 20000
	maxValues = 100000
)

// errNotReg is the cause when a file is no registry export at all.
var errNotReg = errors.New("not a registry export")

// ParseReg reads the text that reg export writes: UTF-16 with a byte order mark, or
// UTF-8, with either of the headers that Windows knows. A line that cannot be read
// costs itself and is in the problems, with its number; an error means that it is
// no such text.
func ParseReg(b []byte) (Tree, []Problem, error) {
	if len(b) > maxReg {
		return Tree{}, nil, fmt.Errorf("%w: %d bytes, at most %d", errNotReg, len(b), maxReg)
	}
	p := regParser{lines: strings.Split(decode(b), "\n")}
	first, _ := p.next()
	switch strings.TrimSpace(first) {
	case "Windows Registry Editor Version 5.00":
		p.wide = true
	case "REGEDIT4":
	default:
		return Tree{}, nil, fmt.Errorf("%w: it begins with %.40q, want Windows Registry Editor Version 5.00", errNotReg, first)
	}
	for {
		line, ok := p.next()
		if !ok {
			return p.tree, p.problems, nil
		}
		if err := p.line(strings.TrimSpace(line)); err != nil && len(p.problems) < maxProblems {
			p.problems = append(p.problems, Problem{Key: fmt.Sprintf("line %d", p.at), Why: err.Error()})
		}
	}
}

// decode returns the text without carriage returns and byte order mark.
func decode(b []byte) string {
	if len(b) < 2 || b[0] != 0xff || b[1] != 0xfe {
		text := strings.TrimPrefix(strings.ToValidUTF8(string(b), "\ufffd"), "\ufeff")
		return strings.ReplaceAll(text, "\r", "")
	}
	return strings.ReplaceAll(wideText(b[2:]), "\r", "")
}

// wideText decodes UTF-16, low byte first. A byte too many is left out.
func wideText(b []byte) string {
	units := make([]uint16, len(b)/2)
	for i := range units {
		units[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	return string(utf16.Decode(units))
}

// regParser is a text on the way into a Tree.
type regParser struct {
	lines    []string
	at       int    // number of the line that next returned last, from 1
	wide     bool   // hexadecimal texts are UTF-16
	key      string // empty: before the first one, or one that cannot be used
	keys     int
	values   int
	tree     Tree
	problems []Problem
}

func (p *regParser) next() (string, bool) {
	if p.at >= len(p.lines) {
		return "", false
	}
	p.at++
	return p.lines[p.at-1], true
}

// line takes in one line, and those that continue it.
func (p *regParser) line(line string) error {
	switch {
	case line == "" || line[0] == ';':
		return nil
	case line[0] == '[':
		return p.section(line)
	case p.key == "":
		return fmt.Errorf("%.40q belongs to no key", line)
	}
	name, rest, err := valueName(line)
	if err != nil {
		return err
	}
	if strings.HasPrefix(rest, "hex") {
		if rest, err = p.join(rest); err != nil {
			return err
		}
	}
	if rest == "-" {
		p.tree.Unset(p.key, name)
		return nil
	}
	if p.values++; p.values > maxValues {
		return fmt.Errorf("more than %d values", maxValues)
	}
	v, err := p.value(rest)
	if err != nil {
		return fmt.Errorf("value %.40q: %w", name, err)
	}
	p.tree.Set(p.key, name, v)
	return nil
}

// join puts a hexadecimal value and the lines that continue it together, all at
// once, so that a long one does not take time by its square.
func (p *regParser) join(line string) (string, error) {
	var parts []string
	for {
		part, again := strings.CutSuffix(strings.TrimSpace(line), `\`)
		parts = append(parts, part)
		if !again {
			return strings.Join(parts, ""), nil
		}
		var ok bool
		if line, ok = p.next(); !ok {
			return "", errors.New("the value is cut off")
		}
	}
}

// section reads [key], or [-key], which removes it.
func (p *regParser) section(line string) error {
	p.key = ""
	path, ok := strings.CutSuffix(line[1:], "]")
	if !ok {
		return fmt.Errorf("%.40q has no end", line)
	}
	if gone, ok := strings.CutPrefix(path, "-"); ok {
		p.tree.Delete(gone)
		return nil
	}
	if path == "" {
		return errors.New("a key without a name")
	}
	if p.keys++; p.keys > maxKeys {
		return fmt.Errorf("more than %d keys", maxKeys)
	}
	p.key = path
	p.tree.Add(path)
	return nil
}

// valueName cuts "name"= or @= off a line.
func valueName(line string) (name, rest string, err error) {
	if rest, ok := strings.CutPrefix(line, "@="); ok {
		return "", rest, nil
	}
	if line[0] != '"' {
		return "", "", fmt.Errorf("%.40q is neither key nor value", line)
	}
	name, rest, err = quoted(line)
	if err != nil {
		return "", "", err
	}
	rest, ok := strings.CutPrefix(rest, "=")
	if !ok {
		return "", "", fmt.Errorf("%.40q has no =", line)
	}
	return name, rest, nil
}

// quoted reads a text in quotes, in which \ stands before " and \, and returns what
// is behind it.
func quoted(s string) (text, rest string, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return b.String(), s[i+1:], nil
		case s[i] == '\\' && i+1 < len(s):
			i++
		}
		b.WriteByte(s[i])
	}
	return "", "", fmt.Errorf("%.40q has no closing quote", s)
}

// value reads what stands behind =.
func (p *regParser) value(s string) (Value, error) {
	if strings.HasPrefix(s, `"`) {
		text, rest, err := quoted(s)
		if err == nil && rest != "" {
			err = fmt.Errorf("%.40q behind the text", rest)
		}
		return Value{Kind: Text, Texts: []string{text}}, err
	}
	kind, data, found := strings.Cut(s, ":")
	if !found {
		return Value{}, fmt.Errorf("%.40q is of no type", s)
	}
	if kind == "dword" {
		n, err := strconv.ParseUint(strings.TrimSpace(data), 16, 32)
		if err != nil {
			return Value{}, fmt.Errorf("%.40q is no number of 32 bits", data)
		}
		return Value{Kind: Number, Number: uint32(n)}, nil
	}
	b, err := hexBytes(data)
	if err != nil {
		return Value{}, err
	}
	return p.binary(kind, b), nil
}

// hexBytes reads 2e,00,63. An empty value has none.
func hexBytes(s string) ([]byte, error) {
	s = strings.Map(func(c rune) rune {
		if c == ',' || c == ' ' || c == '\t' {
			return -1
		}
		return c
	}, s)
	b, err := hex.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("not hexadecimal: %w", err)
	}
	return b, nil
}

// binary makes a value of its bytes, by the number of its type.
func (p *regParser) binary(kind string, b []byte) Value {
	switch kind {
	case "hex(1)", "hex(2)":
		return Value{Kind: Text, Texts: []string{strings.TrimRight(p.text(b), "\x00")}}
	case "hex(7)":
		v := Value{Kind: Texts}
		for _, text := range strings.Split(p.text(b), "\x00") {
			if text != "" {
				v.Texts = append(v.Texts, text)
			}
		}
		return v
	case "hex(4)":
		if len(b) == 4 {
			return Value{Kind: Number, Number: binary.LittleEndian.Uint32(b)}
		}
	case "hex(b)":
		if len(b) == 8 && binary.LittleEndian.Uint32(b[4:]) == 0 {
			return Value{Kind: Number, Number: binary.LittleEndian.Uint32(b)}
		}
	}
	return Value{Kind: Other}
}

func (p *regParser) text(b []byte) string {
	if p.wide {
		return wideText(b)
	}
	return strings.ToValidUTF8(string(b), "\ufffd")
}
