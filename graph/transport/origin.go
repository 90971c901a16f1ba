package transport

import (
	"net/http"
	"net/url"
	"strings"
)

// originCheck allows requests without an Origin (not from a browser), from
// pages of the host that is asked, and from the listed origins; "*" lists all.
func originCheck(allowed []string) func(*http.Request) bool {
	list := map[string]bool{}
	for _, origin := range allowed {
		list[strings.ToLower(strings.TrimRight(origin, "/"))] = true
	}
	return func(r *http.Request) bool {
		origin := r.Header.Get("Origin")
		if origin == "" || list["*"] || list[strings.ToLower(origin)] {
			return true
		}
		u, err := url.Parse(origin)
		return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
	}
}
