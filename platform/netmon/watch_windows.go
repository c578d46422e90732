package netmon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.zx2c4.com/wireguard/windows/tunnel/winipcfg"
)

// lookEvery is how often the state is read without news: Windows announces neither
// new name servers of a link nor, under Wine, anything.
const lookEvery = 15 * time.Second

// watch passes the notifications for links, addresses and routes on until ctx ends.
// They come on threads of the system.
func (m *Monitor) watch(ctx context.Context, changed chan<- struct{}) (err error) {
	news := func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}
	var subscribed []interface{ Unregister() error }
	defer func() {
		for _, s := range subscribed {
			err = errors.Join(err, s.Unregister()) // waits for calls under way
		}
	}()
	links, err := winipcfg.RegisterInterfaceChangeCallback(func(winipcfg.MibNotificationType, *winipcfg.MibIPInterfaceRow) { news() })
	if err != nil {
		return fmt.Errorf("subscribe to links: %w", err)
	}
	subscribed = append(subscribed, links)
	addrs, err := winipcfg.RegisterUnicastAddressChangeCallback(func(winipcfg.MibNotificationType, *winipcfg.MibUnicastIPAddressRow) { news() })
	if err != nil {
		return fmt.Errorf("subscribe to addresses: %w", err)
	}
	subscribed = append(subscribed, addrs)
	routes, err := winipcfg.RegisterRouteChangeCallback(func(winipcfg.MibNotificationType, *winipcfg.MibIPforwardRow2) { news() })
	if err != nil {
		return fmt.Errorf("subscribe to routes: %w", err)
	}
	subscribed = append(subscribed, routes)
	news() // what changed before now was not announced
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			news()
		}
	}
}
