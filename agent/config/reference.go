package config

import _ "embed"

// Reference is the commented reference file: every key with its default.
//
//go:embed reference.toml
var Reference string
