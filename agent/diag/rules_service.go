package diag

import (
	"fmt"
	"strings"
	"time"
)

func judgePermission(e *Evidence) finding {
	st, r := e.Service.Status, e.Rights
	const remedy = "Run the service as root, or give it CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF; in a container pass /dev/net/tun in."
	switch {
	case e.Service.Running && st.Reason == "not-permitted":
		return fail(remedy, "the service may not set up the CLAT: %s", text(st.Detail))
	case e.Service.Running:
		return pass("the service has the rights that it needs")
	case r.Root && len(r.Missing) > 0:
		return fail(remedy, "root has no %s here", and(r.Missing))
	case r.Root && r.Err != "":
		return fail(remedy, "%s", r.Err)
	case r.Root:
		return pass("a service started like this has the rights that it needs")
	}
	return unknown("only root can tell whether a service would have its rights")
}

func judgeService(e *Evidence) finding {
	s := e.Service
	const start = "Start it: systemctl enable --now reach64, or reach64 run in the foreground to see why it ends. Its log says why it stopped."
	switch {
	case s.Err != "":
		return fail("Look at its log; restart it if it hangs.", "the service runs but gives no status: %s", s.Err)
	case s.Running && s.Version != e.Version:
		return warn("Restart the service after an update.", "the service is version %s, this program %s", s.Version, e.Version)
	case s.Running:
		return pass("version %s, pid %d, up for %s", s.Version, s.Status.PID, max(0, e.Now.Sub(s.Status.Started)).Truncate(time.Second))
	case e.Config.Found:
		return fail(start, "it is configured (%s) but does not run", e.Config.File)
	case !e.needs64():
		return skip("it is not configured here, and does not run")
	}
	return warn("Programs that know only an IPv4 address need the CLAT: write "+e.Config.File+" and start the service.", "it is not configured here, and does not run")
}

func judgeLoaded(e *Evidence) finding {
	c := e.Service.Status.Configuration
	switch {
	case !e.Service.Running:
		return skip("the service does not run")
	case c == nil:
		return unknown("the service does not tell which configuration it uses")
	case e.Config.Closed != "":
		return unknown("the files cannot be compared: %s", e.Config.Closed)
	case !e.Config.Found:
		return unknown("there is no configuration at %s to compare with", e.Config.File)
	case len(c.Files) > 0 && c.Files[0] != e.Config.File:
		return unknown("the service uses %s; run the doctor with --config %s to compare", c.Files[0], c.Files[0])
	case c.Digest != e.Config.Digest:
		f := fail("Run reach64 reload.", "the service uses what it read at %s; the files say something else now", date(c.LoadedAt))
		if !e.Config.Newest.IsZero() {
			f = f.with(fmt.Sprintf("the newest file was changed at %s", date(e.Config.Newest)))
		}
		return f
	}
	return pass("the service uses what the files say, read at %s", date(c.LoadedAt))
}

func judgeConfiguration(e *Evidence) finding {
	c := e.Config
	switch {
	case c.Closed != "":
		return unknown("%s", c.Closed)
	case c.Err != "":
		return fail("Correct the file and run reach64 config check, then reach64 reload.", "%s", c.Err)
	case !c.Found:
		return skip("there is none at %s", c.File)
	}
	return pass("%s is valid; servers: %s", c.File, and(labels(e)))
}

func labels(e *Evidence) (out []string) {
	for _, s := range e.Config.Conf.Servers {
		out = append(out, fmt.Sprintf("%s:%d", s.Name, s.Port))
	}
	return out
}

func judgePolicyFiles(e *Evidence) finding {
	if len(e.Config.Policy) == 0 {
		return skip("no policy is in force")
	}
	var keys []string
	for _, v := range e.Config.Values {
		for _, file := range e.Config.Policy {
			if v.Origin == file {
				keys = append(keys, v.Key)
			}
		}
	}
	return pass("%s sets %s", strings.Join(e.Config.Policy, ", "), and(keys))
}
