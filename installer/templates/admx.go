package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"text/template"
)

// A category has the policies of one table.
type category struct {
	Name, Title string
	Policies    []entry
}

// An entry is a setting as the templates want it, a policy.
type entry struct {
	Name, Key, Title, Explain string
	Kind                      string // text, multiText, decimal, enum, boolean
	Low, High                 string // of a decimal
	Default                   string
	Items                     []item
}

// An item is a choice of an enum.
type item struct{ Name, Value, Title string }

// categories are in the order of the reference file, that of the servers first.
func categories(defaults map[string]any) []category {
	out := []category{{Name: "Servers", Title: "Servers", Policies: []entry{entryOf("server", servers, []any{})}}}
	for _, t := range tables {
		c := category{Name: camel(t.name), Title: t.title}
		for _, s := range t.settings {
			c.Policies = append(c.Policies, entryOf(t.name+"."+s.key, s, defaults[t.name+"."+s.key]))
		}
		out = append(out, c)
	}
	return out
}

func entryOf(key string, s setting, def any) entry {
	p := entry{Name: camel(key), Key: key, Title: s.title, Kind: kindOf(s, def), Default: textOf(def)}
	if p.Kind == "decimal" {
		p.Low, p.High = s.low, s.high
	}
	for _, w := range s.words {
		p.Items = append(p.Items, item{p.Name + camel(w.value), w.value, w.title})
	}
	p.Explain = s.explain + "\n\nConfiguration key: " + key + ". Default: " + shown(def) + "."
	if s.low != "" {
		p.Explain += " Range: " + s.low + " to " + s.high + "."
	}
	return p
}

// kindOf names the element of the template by the type of the value.
func kindOf(s setting, def any) string {
	switch def.(type) {
	case []any:
		return "multiText"
	case bool:
		return "boolean"
	case int64:
		return "decimal"
	}
	if len(s.words) > 0 {
		return "enum"
	}
	return "text"
}

// textOf is the value as the editor shows it at first.
func textOf(def any) string {
	if _, ok := def.([]any); ok {
		return ""
	}
	return fmt.Sprint(def)
}

// shown is a value in a sentence.
func shown(def any) string {
	switch def := def.(type) {
	case string:
		if def == "" {
			return "none"
		}
		return def
	case []any:
		if len(def) == 0 {
			return "none"
		}
		return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(def), "[]")), ", ")
	}
	return fmt.Sprint(def)
}

// camel makes DnsListen of dns.listen.
func camel(key string) string {
	var b strings.Builder
	for part := range strings.FieldsFuncSeq(key, func(r rune) bool { return r == '.' || r == '_' || r == '-' }) {
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

func fill(text string, all []category) ([]byte, error) {
	t, err := template.New("").Funcs(template.FuncMap{"xml": func(s string) (string, error) {
		var b strings.Builder
		err := xml.EscapeText(&b, []byte(s))
		return strings.ReplaceAll(b.String(), "&#xA;", "\n"), err
	}}).Parse(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, all)
	return b.Bytes(), err
}

const admxText = `<?xml version="1.0" encoding="utf-8"?>
<!-- Written by installer/templates. -->
<policyDefinitions xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" revision="1.0" schemaVersion="1.0" xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions">
  <policyNamespaces>
    <target prefix="reach64" namespace="Reach64.Policies.Reach64" />
  </policyNamespaces>
  <resources minRequiredRevision="1.0" />
  <supportedOn>
    <definitions>
      <definition name="SUPPORTED_Reach64" displayName="$(string.SUPPORTED_Reach64)" />
    </definitions>
  </supportedOn>
  <categories>
    <category name="Reach64" displayName="$(string.Reach64)" explainText="$(string.Reach64_Explain)" />
{{- range .}}
    <category name="{{.Name}}" displayName="$(string.Category{{.Name}})">
      <parentCategory ref="Reach64" />
    </category>
{{- end}}
  </categories>
  <policies>
{{- range $c := .}}{{range .Policies}}
    <policy name="{{.Name}}" class="Machine" displayName="$(string.{{.Name}})" explainText="$(string.{{.Name}}_Explain)" key="Software\Policies\Reach64"
      {{- if eq .Kind "boolean"}} valueName="{{.Key}}"{{else}} presentation="$(presentation.{{.Name}})"{{end}}>
      <parentCategory ref="{{$c.Name}}" />
      <supportedOn ref="SUPPORTED_Reach64" />
{{- if eq .Kind "boolean"}}
      <enabledValue>
        <decimal value="1" />
      </enabledValue>
      <disabledValue>
        <decimal value="0" />
      </disabledValue>
{{- else}}
      <elements>
{{- if eq .Kind "enum"}}
        <enum id="{{.Name}}" valueName="{{.Key}}" required="true">
{{- range .Items}}
          <item displayName="$(string.{{.Name}})">
            <value>
              <string>{{.Value}}</string>
            </value>
          </item>
{{- end}}
        </enum>
{{- else if eq .Kind "decimal"}}
        <decimal id="{{.Name}}" valueName="{{.Key}}" required="true" minValue="{{.Low}}" maxValue="{{.High}}" />
{{- else if eq .Kind "text"}}
        <text id="{{.Name}}" valueName="{{.Key}}" required="true" />
{{- else}}
        <multiText id="{{.Name}}" valueName="{{.Key}}" required="true" />
{{- end}}
      </elements>
{{- end}}
    </policy>
{{- end}}{{end}}
  </policies>
</policyDefinitions>
`

const admlText = `<?xml version="1.0" encoding="utf-8"?>
<!-- Written by installer/templates. -->
<policyDefinitionResources xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" revision="1.0" schemaVersion="1.0" xmlns="http://schemas.microsoft.com/GroupPolicy/2006/07/PolicyDefinitions">
  <displayName>reach64</displayName>
  <description>reach64 keeps an IPv4-only backup server reachable from IPv6-only networks.</description>
  <resources>
    <stringTable>
      <string id="SUPPORTED_Reach64">reach64 on Windows 10 or Windows Server 2016 and later</string>
      <string id="Reach64">reach64</string>
      <string id="Reach64_Explain">Settings of reach64. What is set here wins over the configuration file, the environment and the command line; what is not configured stays theirs.</string>
{{- range .}}
      <string id="Category{{.Name}}">{{xml .Title}}</string>
{{- range .Policies}}
      <string id="{{.Name}}">{{xml .Title}}</string>
      <string id="{{.Name}}_Explain">{{xml .Explain}}</string>
{{- range .Items}}
      <string id="{{.Name}}">{{xml .Title}} ({{.Value}})</string>
{{- end}}{{end}}{{end}}
    </stringTable>
    <presentationTable>
{{- range .}}{{range .Policies}}{{if ne .Kind "boolean"}}
      <presentation id="{{.Name}}">
{{- if eq .Kind "enum"}}
        <dropdownList refId="{{.Name}}" noSort="true" defaultItem="0">{{xml .Title}}</dropdownList>
{{- else if eq .Kind "decimal"}}
        <decimalTextBox refId="{{.Name}}" defaultValue="{{.Default}}">{{xml .Title}}</decimalTextBox>
{{- else if eq .Kind "text"}}
        <textBox refId="{{.Name}}">
          <label>{{xml .Title}}</label>
{{- if .Default}}
          <defaultValue>{{xml .Default}}</defaultValue>
{{- end}}
        </textBox>
{{- else}}
        <multiTextBox refId="{{.Name}}">{{xml .Title}}</multiTextBox>
{{- end}}
      </presentation>
{{- end}}{{end}}{{end}}
    </presentationTable>
  </resources>
</policyDefinitionResources>
`
