package intercom

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	"handoff/internal/desk"
	"handoff/internal/fault"
)

// The regions. A workspace lives in one of them.
const (
	regionAuto = "auto"
	regionUS   = "US"
	regionEU   = "EU"
	regionAU   = "AU"
)

// regions is the order in which they are tried.
var regions = []string{regionUS, regionEU, regionAU}

// hosts are the addresses of the API.
var hosts = map[string]string{
	regionUS: "https://api.intercom.io",
	regionEU: "https://api.eu.intercom.io",
	regionAU: "https://api.au.intercom.io",
}

// identity is who the access token is.
type identity struct {
	base  string // the address of the workspace's region
	admin string // the teammate in whose name notes are written and sessions closed
	app   string // the id of the workspace
}

// identities keeps the newest identity.
type identities struct {
	mu    sync.Mutex
	known identity
}

func (i *identities) get() identity {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.known
}

func (i *identities) set(now identity) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.known = now
}

// identify gives the identity, asking Intercom the first time.
func (d *intercomDesk) identify(ctx context.Context) (identity, error) {
	if known := d.identities.get(); known.base != "" {
		return known, nil
	}
	return d.askWho(ctx)
}

// askWho asks Intercom who the token is. Without a configured region, a region
// that does not know the token is no proof that it is bad: the others are asked,
// and it is bad when all of them say so.
func (d *intercomDesk) askWho(ctx context.Context) (identity, error) {
	var refused error
	for _, base := range d.bases() {
		var who me
		err := d.call(ctx, request{base: base, method: http.MethodGet, path: "/me", about: desk.AboutDesk}, &who)
		if p, ok := errors.AsType[*problem](err); ok && p.status == http.StatusUnauthorized {
			if refused == nil {
				refused = err
			}
			continue
		}
		if err != nil {
			return identity{}, err
		}
		if who.ID == "" {
			return identity{}, unreadable()
		}
		found := identity{base: base, admin: string(who.ID), app: who.App.IDCode}
		if d.admin != "" {
			found.admin = d.admin
		}
		if home := d.hosts[who.App.Region]; d.region == regionAuto && home != "" {
			found.base = home
		}
		d.identities.set(found)
		return found, nil
	}
	if refused == nil {
		refused = fault.New(fault.Internal, "no address of Intercom is known for the region")
	}
	return identity{}, refused
}

// bases are the addresses to ask, in order.
func (d *intercomDesk) bases() []string {
	if d.region != regionAuto {
		return []string{d.hosts[d.region]}
	}
	var list []string
	for _, region := range regions {
		if base := d.hosts[region]; base != "" && !slices.Contains(list, base) {
			list = append(list, base)
		}
	}
	return list
}
