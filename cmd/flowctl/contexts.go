package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

const maxContexts = 1 << 20 // bytes of their file

// contexts is the file of what a user has named, so as not to give it each time.
type contexts struct {
	Current  string            `yaml:"current,omitempty"`
	Contexts map[string]target `yaml:"contexts"`
}

// contextFile is flowctl/config.yaml in the user's folder for configuration, by XDG's rules.
func contextFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("find the file of contexts: %w", err)
	}
	return filepath.Join(dir, "flowctl", "config.yaml"), nil
}

// readContexts reads them; a user who has none, or no folder for them, has no file either. All that is wrong with the file
// is the user's to mend.
func readContexts() (*contexts, error) {
	kept := &contexts{Contexts: map[string]target{}}
	path, err := contextFile()
	if err != nil {
		return kept, nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return nil, usagef("read the contexts: %w", err)
	}
	defer f.Close()
	if err := kept.decode(f); err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return kept, kept.checkMode(f)
}

// decode refuses what it does not know: a misspelt token would be none.
func (c *contexts) decode(f *os.File) error {
	text, err := io.ReadAll(io.LimitReader(f, maxContexts+1))
	if err != nil {
		return err
	}
	if len(text) > maxContexts {
		return fmt.Errorf("it has more than %d bytes", maxContexts)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(c); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if c.Contexts == nil {
		c.Contexts = map[string]target{}
	}
	return nil
}

// checkMode refuses tokens that others can read.
func (c *contexts) checkMode(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return usagef("look at the contexts: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 && c.haveToken() {
		return usagef("%s holds tokens and has mode %04o, so that others can get at them: chmod 600 %[1]s", f.Name(), info.Mode().Perm())
	}
	return nil
}

func (c *contexts) haveToken() bool {
	for _, t := range c.Contexts {
		if t.Token != "" {
			return true
		}
	}
	return false
}

func (c *contexts) names() []string { return slices.Sorted(maps.Keys(c.Contexts)) }

func (c *contexts) unknown(name string) error {
	if len(c.Contexts) == 0 {
		return usagef("there is no context %q, nor any other; make one: flowctl context set %s --server URL", name, name)
	}
	return usagef("there is no context %q; these are: %s", name, strings.Join(c.names(), ", "))
}

// checkContextName keeps out what would need quotes in a shell.
func checkContextName(name string) error {
	if !regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`).MatchString(name) {
		return usagef("a context's name has letters, digits and _.- after the first, and at most 63 of them: not %q", name)
	}
	return nil
}

// write replaces the file whole, so that whoever dies over it leaves the old one. Where it is a link, what that leads to is
// replaced.
func (c *contexts) write() error {
	path, err := contextFile()
	if err != nil {
		return err
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode the contexts: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write the contexts: %w", err)
	}
	if err := replaceFile(path, text); err != nil {
		return fmt.Errorf("write the contexts: %w", err)
	}
	return nil
}

// replaceFile leaves path as it was or with text, and readable for its owner alone.
func replaceFile(path string, text []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".config-*") // its mode is 0600
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // what was wrong first is told
	}
	return err
}
