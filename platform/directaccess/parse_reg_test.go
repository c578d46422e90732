package directaccess

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const head = "Windows Registry Editor Version 5.00\n\n[HKEY_LOCAL_MACHINE\\Software\\Test]\n"

func TestParseRegValues(t *testing.T) {
	text := func(s ...string) Value { return Value{Kind: Text, Texts: s} }
	for _, tt := range []struct {
		name, body, value string
		want              Value
		ok                bool
		problem           string
	}{
		{"text", `"a"="b"`, "a", text("b"), true, ""},
		{"names have no case", `"Abc"="b"`, "aBC", text("b"), true, ""},
		{"escapes", `"a\"\\b"="c:\\d \"e\""`, `a"\b`, text(`c:\d "e"`), true, ""},
		{"equals sign in a name", `"a=b"="c=d"`, "a=b", text("c=d"), true, ""},
		{"the key's own value", `@="x"`, "", text("x"), true, ""},
		{"number", `"a"=dword:0000001e`, "a", Value{Kind: Number, Number: 30}, true, ""},
		{"number in hex", `"a"=hex(4):1e,00,00,00`, "a", Value{Kind: Number, Number: 30}, true, ""},
		{"64 bits that fit", `"a"=hex(b):1e,00,00,00,00,00,00,00`, "a", Value{Kind: Number, Number: 30}, true, ""},
		{"64 bits that do not", `"a"=hex(b):1e,00,00,00,01,00,00,00`, "a", Value{Kind: Other}, true, ""},
		{"text in hex", `"a"=hex(1):62,00,00,00`, "a", text("b"), true, ""},
		{"expandable text", `"a"=hex(2):25,00,78,00,25,00,00,00`, "a", text("%x%"), true, ""},
		{"texts over two lines", "\"a\"=hex(7):62,00,\\\n  00,00,63,00,00,00,00,00", "a", Value{Kind: Texts, Texts: []string{"b", "c"}}, true, ""},
		{"texts, none", `"a"=hex(7):00,00`, "a", Value{Kind: Texts}, true, ""},
		{"texts, no bytes", `"a"=hex(7):`, "a", Value{Kind: Texts}, true, ""},
		{"texts of an odd length", `"a"=hex(7):62,00,63`, "a", Value{Kind: Texts, Texts: []string{"b"}}, true, ""},
		{"bytes", `"a"=hex:01,02`, "a", Value{Kind: Other}, true, ""},
		{"the later one counts", "\"a\"=\"b\"\n\"a\"=\"c\"", "a", text("c"), true, ""},
		{"removed", "\"a\"=\"b\"\n\"a\"=-", "a", Value{}, false, ""},
		{"comment", "; \"a\"=\"b\"", "a", Value{}, false, ""},
		{"number of nine digits", `"a"=dword:100000000`, "a", Value{}, false, "32 bits"},
		{"no number", `"a"=dword:xyz`, "a", Value{}, false, "32 bits"},
		{"not hexadecimal", `"a"=hex(7):6g`, "a", Value{}, false, "not hexadecimal"},
		{"half a byte", `"a"=hex(7):6`, "a", Value{}, false, "not hexadecimal"},
		{"no closing quote", `"a"="b`, "a", Value{}, false, "closing quote"},
		{"name without end", `"a`, "a", Value{}, false, "closing quote"},
		{"no equals sign", `"a" "b"`, "a", Value{}, false, "has no ="},
		{"behind the text", `"a"="b"c`, "a", Value{}, false, "behind the text"},
		{"no type", `"a"=b`, "a", Value{}, false, "no type"},
		{"neither key nor value", `a=b`, "a", Value{}, false, "neither"},
		{"key without end", `[HKLM\x`, "a", Value{}, false, "has no end"},
		{"key without name", `[]`, "a", Value{}, false, "without a name"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tree, problems, err := ParseReg([]byte(head + tt.body + "\n\"after\"=\"x\"\n"))
			if err != nil {
				t.Fatal(err)
			}
			got, ok := tree.Get(`hklm\software\TEST`, tt.value)
			if d := cmp.Diff(tt.want, got); d != "" || ok != tt.ok {
				t.Errorf("found %v: %s", ok, d)
			}
			if tt.problem == "" {
				if _, ok := tree.Get(`HKLM\Software\Test`, "after"); !ok || len(problems) > 0 {
					t.Errorf("the value behind it was lost, or problems %v", problems)
				}
			} else if len(problems) == 0 || !strings.Contains(problems[0].Why, tt.problem) || problems[0].Key != "line 4" {
				t.Errorf("problems %v, want %q in line 4", problems, tt.problem)
			}
		})
	}
}

func TestParseRegWhole(t *testing.T) {
	t.Run("older header, texts of single bytes", func(t *testing.T) {
		tree, problems, err := ParseReg([]byte("REGEDIT4\r\n\r\n[HKEY_LOCAL_MACHINE\\A]\r\n\"b\"=hex(7):63,00,64,00,00\r\n"))
		v, ok := tree.Get(`HKLM\a`, "B")
		if err != nil || len(problems) > 0 || !ok || !cmp.Equal(v.Texts, []string{"c", "d"}) {
			t.Errorf("%v, %v, %v", err, problems, v)
		}
	})
	t.Run("byte order mark of UTF-8", func(t *testing.T) {
		if _, _, err := ParseReg([]byte("\ufeff" + head)); err != nil {
			t.Error(err)
		}
	})
	t.Run("key removed with what is below", func(t *testing.T) {
		tree, _, err := ParseReg([]byte(head + "\"a\"=\"b\"\n[HKLM\\Software\\Test\\Sub]\n[HKLM\\Software\\Tester]\n[-HKEY_LOCAL_MACHINE\\software\\test]\n\"a\"=\"b\"\n"))
		if d := cmp.Diff([]string{"Tester"}, tree.Subkeys(`HKLM\SOFTWARE`)); d != "" || err != nil {
			t.Errorf("%v, %s", err, d)
		}
	})
	t.Run("cut off", func(t *testing.T) {
		tree, problems, _ := ParseReg([]byte(head + `"a"=hex(7):62,00,\`))
		if _, ok := tree.Get(`HKLM\Software\Test`, "a"); ok || len(problems) != 1 || !strings.Contains(problems[0].Why, "cut off") {
			t.Errorf("problems %v", problems)
		}
	})
	for name, text := range map[string]string{"empty": "", "another file": "[Unit]\nDescription=x\n", "half a mark": "\xff", "mark alone": "\xff\xfe"} {
		if _, _, err := ParseReg([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, _, err := ParseReg(make([]byte, maxReg+1)); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("too long: %v", err)
	}
}

// TestBounds: spec SEC-5 for what an administrator, or a broken tool, may have
// written.
func TestBounds(t *testing.T) {
	var b strings.Builder
	b.WriteString("Windows Registry Editor Version 5.00\n")
	for i := range maxKeys + 1 {
		fmt.Fprintf(&b, "[HKLM\\K%d]\n", i)
	}
	tree, problems, err := ParseReg([]byte(b.String()))
	if err != nil || len(tree.Subkeys("HKLM")) != maxKeys || len(problems) != 1 {
		t.Errorf("keys: %v, %d, %v", err, len(tree.Subkeys("HKLM")), problems)
	}
	b.Reset()
	b.WriteString(head)
	for i := range maxValues + 100 {
		fmt.Fprintf(&b, "\"%d\"=\"\"\n", i)
	}
	tree, problems, err = ParseReg([]byte(b.String()))
	if err != nil || len(tree.Names(`HKLM\Software\Test`)) != maxValues || len(problems) != maxProblems {
		t.Errorf("values: %v, %d, %d problems", err, len(tree.Names(`HKLM\Software\Test`)), len(problems))
	}
	var rules Tree
	for i := range maxRules + 5 {
		rules.Set(fmt.Sprintf(`%s\r%04d`, policyRules, i), "Name", Value{Kind: Texts, Texts: []string{"."}})
	}
	many := Value{Kind: Texts}
	for i := range maxNames + 5 {
		many.Texts = append(many.Texts, fmt.Sprintf(".n%d.example", i))
	}
	rules.Set(policyRules+`\r0000`, "Name", many)
	rules.Set(policyRules+`\r0001`, "ConfigOptions", Value{Kind: Number, Number: optGeneric})
	rules.Set(policyRules+`\r0001`, "GenericDNSServers", Value{Kind: Text, Texts: []string{strings.Repeat("10.0.0.1;", maxServers+5)}})
	p := Read(rules)
	if len(p.Rules) != maxRules || len(p.Rules[0].Names) != maxNames || len(p.Rules[1].GenericServers) != maxServers || len(p.Problems) != 3 {
		t.Errorf("%d rules, %d names, %d servers, problems %v", len(p.Rules), len(p.Rules[0].Names), len(p.Rules[1].GenericServers), p.Problems)
	}
}

func TestTreeWithoutKeys(t *testing.T) {
	var tree Tree
	tree.Delete("HKLM")
	tree.Unset("HKLM", "x")
	if _, ok := tree.Get("HKLM", "x"); ok || tree.Names("HKLM") != nil || tree.Subkeys("HKLM") != nil {
		t.Error("an empty tree has something")
	}
}
