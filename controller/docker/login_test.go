package docker

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/registry"
	"github.com/google/go-cmp/cmp"
)

// write makes a Docker configuration.
func write(t *testing.T, text string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("DOCKER_CONFIG", dir)
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestParseLogin(t *testing.T) {
	word := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	up := func(key string) registry.AuthConfig {
		return registry.AuthConfig{Username: "u", Password: "p", ServerAddress: key}
	}
	tests := []struct {
		name, text, host string
		want             registry.AuthConfig
		helper           string
	}{
		{name: "no file", host: "a.com"},
		{"name and password", `{"auths":{"a.com":{"auth":"` + word("u:p") + `"}}}`, "a.com", up("a.com"), ""},
		{"a port is part of the host", `{"auths":{"a.com":{"auth":"` + word("u:p") + `"}}}`, "a.com:5000", registry.AuthConfig{}, ""},
		{"as a URL", `{"auths":{"https://a.com/v1/":{"auth":"` + word("u:p") + `"}}}`, "a.com", up("https://a.com/v1/"), ""},
		{"exact before URL", `{"auths":{"http://z.com":{"auth":"` + word("x:y") + `"},"z.com":{"auth":"` + word("u:p") + `"}}}`, "z.com", up("z.com"), ""},
		{"the hub", `{"auths":{"https://index.docker.io/v1/":{"auth":"` + word("u:p") + `"}}}`, "docker.io", up("https://index.docker.io/v1/"), ""},
		{"padded password", `{"auths":{"a.com":{"auth":"` + word("u:p\x00\x00") + `"}}}`, "a.com", up("a.com"), ""},
		{"plain", `{"auths":{"a.com":{"username":"u","password":"p"}}}`, "a.com", up("a.com"), ""},
		{"token", `{"auths":{"a.com":{"auth":"` + word("u:") + `","identitytoken":"t"}}}`, "a.com", registry.AuthConfig{Username: "u", IdentityToken: "t", ServerAddress: "a.com"}, ""},
		{"another's entry is broken", `{"auths":{"b.com":5,"c.com":{"auth":"!"},"a.com":{"auth":"` + word("u:p") + `"}}}`, "a.com", up("a.com"), ""},
		{"a helper for all", `{"auths":{"a.com":{}},"credsStore":"desktop"}`, "a.com", registry.AuthConfig{}, "desktop"},
		{"a helper for this one", `{"credsStore":"desktop","credHelpers":{"a.com":"gcloud"}}`, "a.com", registry.AuthConfig{}, "gcloud"},
		{"a helper for another one", `{"credHelpers":{"b.com":"gcloud"}}`, "a.com", registry.AuthConfig{}, ""},
		{"kept here in spite of a helper", `{"auths":{"a.com":{"auth":"` + word("u:p") + `"}},"credsStore":"x"}`, "a.com", up("a.com"), "x"},
	}
	for _, tt := range tests {
		l, err := parseLogin([]byte(tt.text), tt.host)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got, err := registry.DecodeAuthConfig(l.header)
		if diff := cmp.Diff(&tt.want, got); err != nil || diff != "" || l.helper != tt.helper {
			t.Errorf("%s: error %v, helper %q, %s", tt.name, err, l.helper, diff)
		}
	}
}

func TestFindLogin(t *testing.T) {
	t.Run("OK/NoFile", func(t *testing.T) {
		t.Setenv("DOCKER_CONFIG", t.TempDir())
		if l, err := findLogin("a.com"); err != nil || l.header != "" {
			t.Errorf("got %v, %v", l, err)
		}
	})
	t.Run("OK/HomeFolder", func(t *testing.T) {
		write(t, `{"auths":{"a.com":{"auth":"dTpw"}}}`)
		home := t.TempDir()
		if err := os.Rename(os.Getenv("DOCKER_CONFIG"), filepath.Join(home, ".docker")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("DOCKER_CONFIG", "")
		t.Setenv("HOME", home)
		if l, err := findLogin("a.com"); err != nil || l.header == "" || l.file != filepath.Join(home, ".docker", "config.json") {
			t.Errorf("got %v, %v", l, err)
		}
	})
	for name, text := range map[string]string{
		"ErrNoJSON":   `{"auths":`,
		"ErrNoObject": `{"auths":{"a.com":5}}`,
		"ErrNoBase64": `{"auths":{"a.com":{"auth":"secret!"}}}`,
		"ErrNoColon":  `{"auths":{"a.com":{"auth":"c2VjcmV0IQ=="}}}`,
		"ErrTooLong":  `{"auths":{}}` + strings.Repeat(" ", maxConfig),
	} {
		t.Run(name, func(t *testing.T) {
			write(t, text)
			_, err := findLogin("a.com")
			if err == nil || !strings.Contains(err.Error(), "config.json") || strings.Contains(err.Error(), "secret!") {
				t.Errorf("got %v, want an error that names the file and no secret", err)
			}
		})
	}
}

func TestLogin_SaysWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		l    login
		want string
	}{
		{login{host: "a.com", file: "/f", header: "x", helper: "h"}, "asked with the credentials for a.com in /f"},
		{login{host: "a.com", file: "/f"}, "asked without credentials: there are none for a.com in /f"},
		{login{host: "a.com", file: "/f", helper: "h"}, `asked without credentials: those for a.com are with the credential helper "h", which flow-manager does not run; put them into auths in /f`},
	} {
		if diff := cmp.Diff(tt.want, tt.l.String()); diff != "" {
			t.Error(diff)
		}
	}
}

// Whatever stands in the file, nobody's credentials go to another registry than the one they are for.
func FuzzParseLogin(f *testing.F) {
	f.Add([]byte(`{"auths":{"a.com":{"auth":"dTpw"}},"credsStore":"x","credHelpers":{"b.com":"y"}}`), "a.com")
	f.Add([]byte(`{"auths":{"https://index.docker.io/v1/":{"username":"u","identitytoken":"t"}}}`), "docker.io")
	f.Add([]byte(` `), "a.com")
	f.Add([]byte(`{"auths":{"://":{"registrytoken":"t"}}}`), "")
	f.Fuzz(func(t *testing.T, data []byte, host string) {
		l, err := parseLogin(data, host)
		if err != nil || l.header == "" {
			return
		}
		auth, err := registry.DecodeAuthConfig(l.header)
		if err != nil || auth.ServerAddress != host && hostOf(auth.ServerAddress) != host {
			t.Errorf("the credentials of %q go to %q: %v", auth.ServerAddress, host, err)
		}
	})
}
