package netmon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// The two services that know name servers link by link.
const (
	resolved     = "org.freedesktop.resolve1"
	resolvedPath = dbus.ObjectPath("/org/freedesktop/resolve1")
	manager      = "org.freedesktop.NetworkManager"
	managerPath  = dbus.ObjectPath("/org/freedesktop/NetworkManager/DnsManager")
)

// Bounds of asking the bus.
const (
	busLimit = time.Second      // of one question (spec OS-4)
	busAgain = 10 * time.Minute // between tries to reach a bus that is not there, at most
)

// watchBus keeps m.bus current until ctx ends. A machine without a message bus is
// nothing unusual: it is looked for again and again, since it may start later.
func (m *Monitor) watchBus(ctx context.Context, changed chan<- struct{}) error {
	for wait := time.Second; ; wait = min(2*wait, busAgain) {
		err := m.followBus(ctx, changed)
		if ctx.Err() != nil {
			return nil
		}
		m.log.WithError(err).Debug("no message bus")
		if m.bus.Swap(nil) != nil {
			wait = time.Second
			signal(changed)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// followBus asks now and at each change, until ctx or the connection ends.
func (m *Monitor) followBus(ctx context.Context, changed chan<- struct{}) error {
	conn, err := dbus.ConnectSystemBus(dbus.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("connect to message bus: %w", err)
	}
	defer conn.Close()
	news := make(chan *dbus.Signal, 16) // a full one drops; the next look reads everything
	conn.Signal(news)
	for name, path := range map[string]dbus.ObjectPath{resolved: resolvedPath, manager: managerPath} {
		err := errors.Join(
			conn.AddMatchSignalContext(ctx, dbus.WithMatchObjectPath(path), dbus.WithMatchInterface("org.freedesktop.DBus.Properties")),
			conn.AddMatchSignalContext(ctx, dbus.WithMatchInterface("org.freedesktop.DBus"), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, name)))
		if err != nil {
			return fmt.Errorf("subscribe on message bus: %w", err)
		}
	}
	for {
		now := m.askBus(ctx, conn)
		m.bus.Store(&now)
		signal(changed)
		select {
		case <-ctx.Done():
			return nil
		case _, open := <-news:
			if !open {
				return errors.New("the message bus has ended")
			}
		}
	}
}

// askBus asks systemd-resolved, and where that does not run, NetworkManager. Neither
// is started by the question.
func (m *Monitor) askBus(ctx context.Context, conn *dbus.Conn) known {
	get := func(name string, path dbus.ObjectPath, iface, property string) any {
		ctx, cancel := context.WithTimeout(ctx, busLimit)
		defer cancel()
		var v dbus.Variant
		err := conn.Object(name, path).CallWithContext(ctx, "org.freedesktop.DBus.Properties.Get", dbus.FlagNoAutoStart, iface, property).Store(&v)
		if err != nil {
			m.log.WithError(err).WithField("service", name).Debug("ask for name servers")
			return nil
		}
		return v.Value()
	}
	if k, ok := fromResolved(get(resolved, resolvedPath, resolved+".Manager", "DNSEx")); ok {
		return k
	}
	k, _ := fromManager(get(manager, managerPath, manager+".DnsManager", "Configuration"))
	return k
}
