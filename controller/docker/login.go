package docker

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/registry"
)

// maxConfig bounds what is read of the Docker configuration.
const maxConfig = 1 << 20

// hub is the registry of images without one, and hubKey what the Docker configuration calls it.
const (
	hub    = "docker.io"
	hubKey = "index.docker.io"
)

// login is who we are to a registry, as far as the Docker configuration says so.
type login struct {
	host   string
	file   string // where it was looked for
	helper string // the program that keeps it instead, if there is one
	header string // what the engine wants to have, "" for nobody
}

// String says who asked a registry, in a sentence about what came of it.
func (l *login) String() string {
	switch {
	case l.header != "":
		return fmt.Sprintf("asked with the credentials for %s in %s", l.host, l.file)
	case l.helper != "":
		return fmt.Sprintf("asked without credentials: those for %s are with the credential helper %q, which flow-manager does not run; put them into auths in %s", l.host, l.helper, l.file)
	}
	return fmt.Sprintf("asked without credentials: there are none for %s in %s", l.host, l.file)
}

// findLogin reads the Docker configuration afresh, so that `docker login` is seen by the next pull.
func findLogin(host string) (*login, error) {
	file, err := configFile()
	if err != nil {
		return nil, err
	}
	data, err := readConfig(file)
	if err != nil {
		return nil, fmt.Errorf("read credentials: %w", err)
	}
	found, err := parseLogin(data, host)
	if err != nil {
		return nil, fmt.Errorf("read credentials for %s in %s: %w", host, file, err)
	}
	found.file = file
	return found, nil
}

func configFile() (string, error) {
	if dir := os.Getenv("DOCKER_CONFIG"); dir != "" {
		return filepath.Join(dir, "config.json"), nil
	}
	home, err := os.UserHomeDir()
	if err == nil {
		return filepath.Join(home, ".docker", "config.json"), nil
	}
	who, err := user.Current() // a service may have no HOME
	if err != nil {
		return "", fmt.Errorf("find the home folder with the Docker configuration; DOCKER_CONFIG can name another: %w", err)
	}
	return filepath.Join(who.HomeDir, ".docker", "config.json"), nil
}

// readConfig takes a file that is not there for an empty one.
func readConfig(path string) ([]byte, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if len(data) > maxConfig {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxConfig)
	}
	return data, err
}

// config is the part of the Docker configuration that is about registries.
type config struct {
	Auths   map[string]json.RawMessage `json:"auths"`
	Store   string                     `json:"credsStore"`
	Helpers map[string]string          `json:"credHelpers"`
}

// parseLogin looks for one registry only: a broken entry of another one harms nobody else's pull.
func parseLogin(data []byte, host string) (*login, error) {
	var c config
	if len(bytes.TrimSpace(data)) > 0 {
		if err := json.Unmarshal(data, &c); err != nil {
			return nil, err
		}
	}
	l := &login{host: host, helper: c.Store}
	if key, ok := lookup(c.Helpers, host); ok {
		l.helper = c.Helpers[key]
	}
	key, ok := lookup(c.Auths, host)
	if !ok {
		return l, nil
	}
	auth, err := decodeAuth(c.Auths[key])
	if err != nil || auth == (registry.AuthConfig{}) {
		return l, err
	}
	auth.ServerAddress = key
	l.header, err = registry.EncodeAuthConfig(auth)
	return l, err
}

// lookup finds the key for a registry: its host, or a URL of it as older logins wrote them.
func lookup[V any](m map[string]V, host string) (string, bool) {
	if _, ok := m[host]; ok {
		return host, true
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if hostOf(key) == host {
			return key, true
		}
	}
	return "", false
}

func hostOf(key string) string {
	if _, rest, ok := strings.Cut(key, "://"); ok {
		key = rest
	}
	host, _, _ := strings.Cut(key, "/")
	if host == hubKey {
		return hub
	}
	return host
}

// decodeAuth takes the name and the password, which may have colons, out of the one word they are kept in.
func decodeAuth(entry json.RawMessage) (registry.AuthConfig, error) {
	var a registry.AuthConfig
	if err := json.Unmarshal(entry, &a); err != nil {
		return a, err
	}
	kept := registry.AuthConfig{Username: a.Username, Password: a.Password, IdentityToken: a.IdentityToken, RegistryToken: a.RegistryToken}
	if a.Auth == "" {
		return kept, nil
	}
	word, err := base64.StdEncoding.DecodeString(a.Auth)
	if err != nil {
		return registry.AuthConfig{}, errors.New("auth is no base64") // the error itself would tell some of it
	}
	name, password, ok := strings.Cut(string(word), ":")
	if !ok || name == "" {
		return registry.AuthConfig{}, errors.New("auth is not name:password in base64")
	}
	kept.Username, kept.Password = name, strings.Trim(password, "\x00")
	return kept, nil
}
