package admx

import (
	"fmt"
	"slices"
)

// Registry returns what the editor writes when the policy is enabled with an input: uint32
// for REG_DWORD, a string for REG_SZ, []string for REG_MULTI_SZ. The input is a text, lines
// of text, a number, or true and false for an on-off policy that is enabled or disabled.
func (p Policy) Registry(input any) (any, error) {
	switch input := input.(type) {
	case bool:
		if p.Kind == "boolean" {
			return map[bool]uint32{false: 0, true: 1}[input], nil
		}
	case int64:
		if p.Kind == "decimal" && (input < int64(p.Low) || input > int64(p.High)) {
			return nil, fmt.Errorf("policy %s: %d is not from %d to %d", p.Name, input, p.Low, p.High)
		}
		if p.Kind == "decimal" {
			return uint32(input), nil
		}
	case string:
		if p.Kind == "enum" && !slices.Contains(p.Words, input) {
			return nil, fmt.Errorf("policy %s: %q is none of %q", p.Name, input, p.Words)
		}
		if p.Kind == "enum" || p.Kind == "text" && input != "" {
			return input, nil
		}
	case []string:
		if p.Kind == "multiText" && len(input) > 0 && !slices.Contains(input, "") {
			return input, nil
		}
	}
	return nil, fmt.Errorf("policy %s: %v is no input for %s", p.Name, input, p.Kind)
}
