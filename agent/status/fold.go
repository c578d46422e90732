package status

import (
	"strings"
	"unicode/utf8"
)

// Columns is how wide text for people is at most.
const Columns = 80

// Style is how text for people is to look.
type Style struct {
	Color   bool // as an addition: nothing is told by colour alone
	Verbose bool // everything
}

// Fold breaks a text into lines of at most n characters, between words where that is
// possible, else behind a slash, else anywhere.
func Fold(text string, n int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		for utf8.RuneCountInString(word) > n {
			if line != "" {
				lines, line = append(lines, line), ""
			}
			head := string([]rune(word)[:n])
			if i := strings.LastIndexByte(head, '/'); i > 0 {
				head = head[:i+1]
			}
			lines, word = append(lines, head), word[len(head):]
		}
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= n:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	if line != "" || len(lines) == 0 {
		lines = append(lines, line)
	}
	return lines
}
