package svc

import "testing"

func TestProgramInQuotes(t *testing.T) {
	for line, want := range map[string]string{
		`C:\Program Files\Reach64\reach64.exe run`:   `"C:\Program Files\Reach64\reach64.exe" run`,
		`"C:\Program Files\Reach64\reach64.exe" run`: `"C:\Program Files\Reach64\reach64.exe" run`,
		`C:\reach64.EXE`: `"C:\reach64.EXE"`,
		`C:\no program`:  `C:\no program`,
	} {
		if got := quoted(line); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
