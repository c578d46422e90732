//go:build !linux && !windows && !darwin

package netcfg

import "github.com/reach64/reach64/platform"

// system is this machine, whose network cannot be changed here yet.
type system struct{}

func (system) SetDevice(Device) error { return platform.Unsupported("setting up a device") }
func (system) AddAddr(Addr) error     { return platform.Unsupported("adding an address") }
func (system) DelAddr(Addr) error     { return platform.Unsupported("removing an address") }
func (system) AddRoute(Route) error   { return platform.Unsupported("adding a route") }
func (system) DelRoute(Route) error   { return platform.Unsupported("removing a route") }

// routesHaveMetrics: the system tells routes apart by them.
const routesHaveMetrics = true
