package status

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFold(t *testing.T) {
	tests := map[string]struct {
		n    int
		want []string
	}{
		"":                   {5, []string{""}},
		"a bb ccc":           {4, []string{"a bb", "ccc"}},
		"abcdefgh":           {3, []string{"abc", "def", "gh"}},
		"a abcdefgh z":       {3, []string{"a", "abc", "def", "gh", "z"}},
		"äöü äöü":            {3, []string{"äöü", "äöü"}},
		"äöüäöü":             {4, []string{"äöüä", "öü"}},
		"  spaces   go  ok":  {20, []string{"spaces go ok"}},
		"/etc/reach64/x.txt": {14, []string{"/etc/reach64/", "x.txt"}},
	}
	for text, tt := range tests {
		if d := cmp.Diff(tt.want, Fold(text, tt.n)); d != "" {
			t.Errorf("%q (-want +got):\n%s", text, d)
		}
	}
}
