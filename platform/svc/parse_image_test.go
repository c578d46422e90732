package svc

import (
	"strings"
	"testing"
)

func TestImageHazard(t *testing.T) {
	for image, want := range map[string]string{
		`"C:\Program Files\Reach64\reach64.exe" run`:                        "",
		`"C:\Program Files\Reach64\reach64.exe"`:                            "",
		`C:\Reach64\reach64.exe run --config "C:\some folder\reach64.toml"`: "",
		`C:\Reach64\REACH64.EXE`:                                            "",
		`  "C:\reach64.exe" run  `:                                          "",
		`C:\Reach64\reach64.exe.d\reach64.exe run`:                          "",
		`C:\Reach64\reach64 run`:                                            "",
		`C:\Program Files\Reach64\reach64.exe run`:                          `would run C:\Program.exe`,
		`D:\my tools\reach64.exe run --config "C:\x.toml"`:                  `would run D:\my.exe`,
		`"C:\Program Files\Reach64\reach64.exe`:                             "does not end",
		`reach64.exe run`:                                                   "not absolute",
		`\\server\share\reach64.exe run`:                                    "not absolute",
		`"reach64.exe" run`:                                                 "not absolute",
		"C:\\\u0130\u0130 \u0130.EXE run":                                   `would run C:\`,
		``:                                                                  "not absolute",
		`"`:                                                                 "does not end",
	} {
		err := imageHazard(image)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", image, err, want)
		}
	}
}

func FuzzImageHazard(f *testing.F) {
	for _, image := range []string{`"C:\Program Files\x.exe" run`, `C:\a b.exe`, "C:\\\u0130\u0130\u0130.EXE run", "C:\\\xff.exe"} {
		f.Add(image)
	}
	f.Fuzz(func(t *testing.T, image string) {
		err := imageHazard(image)
		if text := strings.TrimSpace(image); err == nil && text[0] != '"' && strings.Contains(programOf(text), " ") {
			t.Errorf("%q passes with blanks and no quotes", image)
		}
	})
}

func TestProgramInQuotes(t *testing.T) {
	for line, want := range map[string]string{
		`C:\Program Files\Reach64\reach64.exe run`:   `"C:\Program Files\Reach64\reach64.exe" run`,
		`"C:\Program Files\Reach64\reach64.exe" run`: `"C:\Program Files\Reach64\reach64.exe" run`,
		`C:\reach64.EXE`: `"C:\reach64.EXE"`,
		"":               "",
	} {
		if got := quoted(line); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
