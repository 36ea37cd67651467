package socketio

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// hostList is the names under which the server may be asked: a page of somebody else's that had its own name resolve
// to this address sends matching Host and Origin, and only the name gives it away.
type hostList struct {
	hosts   []authority
	origins []string
}

type authority struct{ name, port string } // no port: any

func newHostList(hosts, origins []string) (hostList, error) {
	if len(hosts) == 0 {
		hosts = []string{"localhost", "127.0.0.1", "[::1]"}
	}
	var l hostList
	for _, h := range hosts {
		a, err := parseAuthority(h)
		if err != nil {
			return hostList{}, fmt.Errorf("read allowed host: %w", err)
		}
		l.hosts = append(l.hosts, a)
	}
	for _, o := range origins {
		u, err := parseOrigin(o)
		if err != nil {
			return hostList{}, fmt.Errorf("read allowed origin: %w", err)
		}
		l.origins = append(l.origins, u.Scheme+"://"+strings.ToLower(u.Host))
	}
	return l, nil
}

func parseAuthority(s string) (authority, error) {
	u, err := url.Parse("//" + s)
	if err != nil || u.Host != s || u.Hostname() == "" {
		return authority{}, fmt.Errorf("%q is no host or host:port", s)
	}
	name := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if ip := net.ParseIP(name); ip != nil {
		name = ip.String()
	}
	return authority{name, u.Port()}, nil
}

func parseOrigin(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Scheme+"://"+u.Host != s || u.Hostname() == "" {
		return nil, fmt.Errorf("%q is no origin such as https://example.org", s)
	}
	return u, nil
}

// allowsHost judges a Host header.
func (l hostList) allowsHost(host string) bool {
	asked, err := parseAuthority(host)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(l.hosts, func(a authority) bool {
		return a.name == asked.name && (a.port == "" || a.port == asked.port)
	})
}

// allowsOrigin judges the Origin headers of r; a request without one does not come from a web page.
func (l hostList) allowsOrigin(r *http.Request) bool {
	given := r.Header["Origin"]
	if len(given) == 0 {
		return true
	}
	u, err := parseOrigin(given[0])
	if err != nil || len(given) > 1 {
		return false
	}
	if len(l.origins) > 0 {
		return l.lists(given[0])
	}
	asked, err := parseAuthority(r.Host)
	return err == nil && l.allowsHost(u.Host) && portOf(u.Port(), u.Scheme) == portOf(asked.port, u.Scheme)
}

// lists reports whether the operator has named an origin.
func (l hostList) lists(origin string) bool {
	u, err := parseOrigin(origin)
	return err == nil && slices.Contains(l.origins, u.Scheme+"://"+strings.ToLower(u.Host))
}

func portOf(port, scheme string) string {
	switch {
	case port != "":
		return port
	case scheme == "https":
		return "443"
	}
	return "80"
}
