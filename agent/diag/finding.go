package diag

import (
	"fmt"
	"strings"
)

func pass(format string, args ...any) finding { return finding{Pass, lines(format, args), ""} }
func skip(format string, args ...any) finding { return finding{Skip, lines(format, args), ""} }

func unknown(format string, args ...any) finding { return finding{Unknown, lines(format, args), ""} }

func warn(remedy, format string, args ...any) finding {
	return finding{Warn, lines(format, args), remedy}
}

func fail(remedy, format string, args ...any) finding {
	return finding{Fail, lines(format, args), remedy}
}

// lines is one line of evidence for each line of the text.
func lines(format string, args []any) []string {
	return strings.Split(fmt.Sprintf(format, args...), "\n")
}

// with adds evidence.
func (f finding) with(more ...string) finding {
	f.evidence = append(f.evidence, more...)
	return f
}

// weight orders verdicts by how much they matter.
var weight = map[Verdict]int{Skip: 0, Pass: 1, Unknown: 2, Warn: 3, Fail: 4}

// worst joins the findings on several servers: the worst verdict, the worst one's
// evidence first.
func worst(all []finding) finding {
	if len(all) == 0 {
		return skip("no server is configured or named")
	}
	out := all[0]
	for _, f := range all[1:] {
		if weight[f.verdict] > weight[out.verdict] {
			f.evidence = append(f.evidence[:len(f.evidence):len(f.evidence)], out.evidence...)
			out = f
			continue
		}
		out.evidence = append(out.evidence[:len(out.evidence):len(out.evidence)], f.evidence...)
	}
	return out
}

// each judges every server by itself.
func each(judge func(*Evidence, *Server) finding) func(*Evidence) finding {
	return func(e *Evidence) finding {
		var all []finding
		for i := range e.Servers {
			all = append(all, judge(e, &e.Servers[i]))
		}
		return worst(all)
	}
}

func and(list []string) string {
	switch n := len(list); n {
	case 0:
		return "nothing"
	case 1:
		return list[0]
	default:
		return strings.Join(list[:n-1], ", ") + " and " + list[n-1]
	}
}

// texts gives values as text.
func texts[T fmt.Stringer](list []T) (out []string) {
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}
