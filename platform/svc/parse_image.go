package svc

import (
	"fmt"
	"strings"
)

// imageHazard is what is wrong with the command line that Windows starts a service with:
// a path with blanks and without quotes, of which Windows tries each part first
// (CreateProcess's lpApplicationName), so that C:\Program.exe would run with the rights
// of the system; or a path that is not absolute. nil: nothing.
func imageHazard(image string) error {
	image = strings.TrimSpace(image)
	program, quoted := strings.CutPrefix(image, `"`)
	if quoted {
		var closed bool
		if program, _, closed = strings.Cut(program, `"`); !closed {
			return fmt.Errorf("the service's ImagePath %s has a quote that does not end: %s", image, again)
		}
	} else {
		program = programOf(image)
	}
	if len(program) < 4 || program[1:3] != `:\` {
		return fmt.Errorf("the service's ImagePath %s is not absolute: %s", image, again)
	}
	if first, _, blank := strings.Cut(program, " "); blank && !quoted {
		return fmt.Errorf("the service's ImagePath %s has blanks and no quotes, so that Windows would run %s.exe if that were there: %s", image, first, again)
	}
	return nil
}

const again = "reach64 service uninstall, and install, mend it"

// programOf is the part of a command line without quotes that was meant as the program:
// up to the first .exe that ends a word, else the first word.
func programOf(image string) string {
	lower := strings.Map(func(c rune) rune { // bytes stay where they are
		if c >= 'A' && c <= 'Z' {
			return c - 'A' + 'a'
		}
		return c
	}, strings.ToValidUTF8(image, "?"))
	if len(lower) != len(image) {
		return image // damaged: the whole of it is looked at
	}
	for at := 0; ; {
		i := strings.Index(lower[at:], ".exe")
		if i < 0 {
			first, _, _ := strings.Cut(image, " ")
			return first
		}
		at += i + len(".exe")
		if at == len(lower) || lower[at] == ' ' {
			return image[:at]
		}
	}
}

// quoted puts the program of a command line in quotes.
func quoted(image string) string {
	if program := programOf(image); program != "" && !strings.HasPrefix(image, `"`) {
		return `"` + program + `"` + image[len(program):]
	}
	return image
}
