package status

import (
	"reflect"
	"slices"
)

// Same tells whether two states say the same to somebody who watches: counters,
// times of probes and of questions do not count.
func (s Status) Same(o Status) bool {
	return reflect.DeepEqual(s.steady(), o.steady())
}

// steady is the state without what changes by itself.
func (s Status) steady() Status {
	s.Counters, s.Times = nil, Times{}
	s.Servers = slices.Clone(s.Servers)
	for i := range s.Servers {
		v := &s.Servers[i]
		v.RTT, v.Handshake, v.Checked, v.Error = nil, nil, nil, nil
	}
	s.Sources = slices.Clone(s.Sources)
	for i := range s.Sources {
		v := &s.Sources[i]
		v.Took, v.NextIn, v.Reason = nil, nil, ""
	}
	return s
}
