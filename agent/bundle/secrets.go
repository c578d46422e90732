package bundle

import "regexp"

const removed = "REMOVED"

var (
	// assigned are keys whose value is a secret by their name, in TOML, JSON,
	// environment and logs.
	assigned = regexp.MustCompile(`(?i)("?[a-z0-9_.-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|credential|authorization|cookie)s?[a-z0-9_-]*"?\s*[:=]\s*)("(?:[^"\\]|\\.)*"|'[^']*'|(?:bearer|basic)\s+\S+|[^\s,}\]]+)`)
	// login and query are parts of web addresses.
	login = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@"']+@`)
	query = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://[^\s"'?#]+)[?#][^\s"']*`)
	// block is a key in PEM.
	block = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\z)`)
)

// RemoveSecrets removes passwords, tokens and private keys from a text.
func RemoveSecrets(text string) string {
	text = block.ReplaceAllString(text, removed+" PRIVATE KEY")
	text = login.ReplaceAllString(text, "${1}")
	text = query.ReplaceAllString(text, "${1}?"+removed)
	return assigned.ReplaceAllStringFunc(text, func(m string) string {
		at := assigned.FindStringSubmatchIndex(m)
		value := m[at[4]:at[5]]
		if value[0] == '"' || value[0] == '\'' {
			return m[:at[4]] + value[:1] + removed + value[:1]
		}
		return m[:at[4]] + removed
	})
}
