package admx_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reach64/reach64/installer/admx"
)

const head = ` revision="1.0" schemaVersion="1.0" xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions">`

const definitions = `<policyDefinitions` + head + `
<policyNamespaces><target prefix="x" namespace="X"/></policyNamespaces>
<resources minRequiredRevision="1.0"/>
<supportedOn><definitions><definition name="X" displayName="$(string.Supported)"/></definitions></supportedOn>
<categories><category name="Top" displayName="$(string.Top)"/><category name="Sub" displayName="$(string.Sub)"><parentCategory ref="Top"/></category></categories>
<policies>
<policy name="Switch" class="Machine" displayName="$(string.Switch)" explainText="$(string.Help)" key="Software\X" valueName="switch">
<parentCategory ref="Top"/><supportedOn ref="X"/><enabledValue><decimal value="1"/></enabledValue><disabledValue><decimal value="0"/></disabledValue>
</policy>
<policy name="Size" class="Machine" displayName="$(string.Size)" explainText="$(string.Help)" key="Software\X" presentation="$(presentation.Size)">
<parentCategory ref="Sub"/><supportedOn ref="X"/><elements><decimal id="Size" valueName="size" minValue="1" maxValue="9"/></elements>
</policy>
<policy name="Level" class="Machine" displayName="$(string.Level)" explainText="$(string.Help)" key="Software\X" presentation="$(presentation.Level)">
<parentCategory ref="Sub"/><supportedOn ref="X"/><elements><enum id="Level" valueName="level" required="true">
<item displayName="$(string.Low)"><value><string>low</string></value></item><item displayName="$(string.High)"><value><string>high</string></value></item>
</enum></elements>
</policy>
<policy name="List" class="Machine" displayName="$(string.List)" explainText="$(string.Help)" key="Software\X" presentation="$(presentation.List)">
<parentCategory ref="Sub"/><supportedOn ref="X"/><elements><multiText id="List" valueName="list"/></elements>
</policy>
<policy name="Text" class="Machine" displayName="$(string.Text)" explainText="$(string.Help)" key="Software\X" presentation="$(presentation.Text)">
<parentCategory ref="Sub"/><supportedOn ref="X"/><elements><text id="Text" valueName="text"/></elements>
</policy>
</policies>
</policyDefinitions>`

const resources = `<policyDefinitionResources` + head + `
<displayName>x</displayName><description>x</description>
<resources>
<stringTable><string id="Supported">any</string><string id="Top">top</string><string id="Sub">sub</string><string id="Switch">A switch</string><string id="Help">What it does.</string>
<string id="Size">A size</string><string id="Level">A level</string><string id="Low">low</string><string id="High">high</string><string id="List">A list</string><string id="Text">A text</string></stringTable>
<presentationTable>
<presentation id="Size"><decimalTextBox refId="Size" defaultValue="5">size</decimalTextBox></presentation>
<presentation id="Level"><dropdownList refId="Level" noSort="true" defaultItem="1">level</dropdownList></presentation>
<presentation id="List"><multiTextBox refId="List">list</multiTextBox></presentation>
<presentation id="Text"><textBox refId="Text"><label>text</label><defaultValue>t</defaultValue></textBox></presentation>
</presentationTable>
</resources>
</policyDefinitionResources>`

func read(t *testing.T) map[string]admx.Policy {
	t.Helper()
	got, err := admx.Read(strings.NewReader(definitions), strings.NewReader(resources))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]admx.Policy)
	for _, p := range got.Policies {
		out[p.Value] = p
	}
	return out
}

func TestRead(t *testing.T) {
	const key, help = `Software\X`, "What it does."
	want := map[string]admx.Policy{
		"switch": {Name: "Switch", Category: "Top", Key: key, Value: "switch", Kind: "boolean", Title: "A switch", Explain: help},
		"size":   {Name: "Size", Category: "Sub", Key: key, Value: "size", Kind: "decimal", Low: 1, High: 9, Title: "A size", Explain: help, Shown: "5"},
		"level":  {Name: "Level", Category: "Sub", Key: key, Value: "level", Kind: "enum", Words: []string{"low", "high"}, Title: "A level", Explain: help, Shown: "high"},
		"list":   {Name: "List", Category: "Sub", Key: key, Value: "list", Kind: "multiText", Title: "A list", Explain: help},
		"text":   {Name: "Text", Category: "Sub", Key: key, Value: "text", Kind: "text", Title: "A text", Explain: help, Shown: "t"},
	}
	if d := cmp.Diff(want, read(t)); d != "" {
		t.Error(d)
	}
}

func TestTemplatesThatAnEditorRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ old, with, want string }{
		"cut off":                     {"</policyDefinitions>", "", "read ADMX"},
		"two roots":                   {"</policyDefinitionResources>", `</policyDefinitionResources><label xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions">x</label>`, "the root is not"},
		"another namespace":           {`<policyDefinitions revision="1.0" schemaVersion="1.0" xmlns="http://schemas.microsoft.com/`, `<policyDefinitions revision="1.0" schemaVersion="1.0" xmlns="http://schemas.example.com/`, "namespace"},
		"an unknown element":          {`<text id="Text" valueName="text"/>`, `<texts id="Text" valueName="text"/>`, "no element texts"},
		"an element elsewhere":        {`<parentCategory ref="Top"/><supportedOn`, `<text id="y" valueName="y"/><supportedOn`, "text in policy"},
		"the wrong order":             {`<parentCategory ref="Top"/><supportedOn ref="X"/>`, `<supportedOn ref="X"/><parentCategory ref="Top"/>`, "parentCategory after supportedOn"},
		"an unknown attribute":        {`defaultItem="1"`, `default="1"`, "no attribute default"},
		"no value name":               {`<text id="Text" valueName="text"/>`, `<text id="Text"/>`, "lacks the attribute valueName"},
		"text between elements":       {"<policies>", "<policies>x", `"x" in policies`},
		"a string that is not there":  {`<string id="Low">low</string>`, "", "no string Low"},
		"a string that nobody uses":   {`<string id="Low">`, `<string id="More">more</string><string id="Low">`, "refers to string More"},
		"a string twice":              {`<string id="Low">`, `<string id="High">more</string><string id="Low">`, "string High is there twice"},
		"a presentation of nobody":    {`<presentation id="Size">`, `<presentation id="More"><textBox refId="x"/></presentation><presentation id="Size">`, "presentation More"},
		"no presentation":             {`presentation="$(presentation.Text)"`, `presentation="$(presentation.Texts)"`, "want presentation Texts"},
		"another control":             {`<multiTextBox refId="List">list</multiTextBox>`, `<textBox refId="List"/>`, "want multiTextBox"},
		"a control of another":        {`<multiTextBox refId="List">`, `<multiTextBox refId="Lists">`, `want multiTextBox for "List"`},
		"an item that is not there":   {`defaultItem="1"`, `defaultItem="2"`, "no item 2"},
		"an unknown category":         {`<parentCategory ref="Top"/><supportedOn`, `<parentCategory ref="Tip"/><supportedOn`, "no category Tip"},
		"an unknown definition":       {`<supportedOn ref="X"/><enabledValue>`, `<supportedOn ref="Y"/><enabledValue>`, "no definition Y"},
		"two policies of one name":    {`<policy name="Size"`, `<policy name="Switch"`, "policy Switch is there twice"},
		"a policy for users":          {`<policy name="Size" class="Machine"`, `<policy name="Size" class="User"`, `class "User"`},
		"a switch without a value":    {` valueName="switch"`, "", "want a valueName"},
		"a number that is none":       {`maxValue="9"`, `maxValue="many"`, `"many" is no number`},
		"two elements":                {`<text id="Text" valueName="text"/>`, `<text id="Text" valueName="text"/><text id="T" valueName="t"/>`, "2 elements, want one"},
		"a reference of another form": {`displayName="$(string.Size)"`, `displayName="A size"`, "not of the form"},
	} {
		if strings.Count(definitions+resources, tt.old) != 1 {
			t.Fatalf("%s: %q is not there once", name, tt.old)
		}
		_, err := admx.Read(strings.NewReader(strings.Replace(definitions, tt.old, tt.with, 1)), strings.NewReader(strings.Replace(resources, tt.old, tt.with, 1)))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestRegistry(t *testing.T) {
	policies := read(t)
	for name, tt := range map[string]struct {
		value       string
		input, want any // nil: refused
	}{
		"enabled":                  {"switch", true, uint32(1)},
		"disabled":                 {"switch", false, uint32(0)},
		"a number":                 {"size", int64(9), uint32(9)},
		"a number that is too big": {"size", int64(10), nil},
		"a choice":                 {"level", "low", "low"},
		"no choice":                {"level", "middle", nil},
		"lines":                    {"list", []string{"a", "b"}, []string{"a", "b"}},
		"a line that is empty":     {"list", []string{"a", ""}, nil},
		"a text":                   {"text", "x", "x"},
		"an empty text":            {"text", "", nil},
		"of another kind":          {"text", []string{"x"}, nil},
	} {
		got, err := policies[tt.value].Registry(tt.input)
		if d := cmp.Diff(tt.want, got); d != "" || (err == nil) != (tt.want != nil) {
			t.Errorf("%s: %v\n%s", name, err, d)
		}
	}
}
