package main

import (
	"fmt"
	"testing"
)

func TestSettings_checkProxies(t *testing.T) {
	for _, tt := range []struct {
		proxy, base string
		want        string // "[networks] base path", or "" for a refusal
	}{
		{"10.0.0.0/8", "", "[10.0.0.0/8] "},
		{"127.0.0.1", "/flows", "[127.0.0.1/32] /flows"},
		{"10.1.2.3/8", "/a/b.c/", "[10.0.0.0/8] /a/b.c"},
		{"::ffff:127.0.0.1", "", "[127.0.0.1/32] "},
		{"fd00::1", "", "[fd00::1/128] "},
		{"proxy", "", ""},
		{"10.0.0.0/33", "", ""},
		{"::1", "flows", ""},
		{"::1", "/", ""},
		{"::1", "/a//b", ""},
		{"::1", "/a/../b", ""},
		{"::1", "/a b", ""},
		{"::1", "/a?b", ""},
	} {
		s := &settings{TrustedProxies: []string{tt.proxy}, BasePath: tt.base}
		got := ""
		if err := s.checkProxies(); err == nil {
			got = fmt.Sprint(s.proxies, " ", s.BasePath)
		}
		if got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.proxy, tt.base, got, tt.want)
		}
	}
}
