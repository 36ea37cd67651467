package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/flow-manager/flow-manager/api"
)

// maxFileBytes is room for five thousand tokens.
const maxFileBytes = 1 << 20

// document is the whole file.
type document struct {
	Tokens []Entry `json:"tokens"`
}

// Read reads the file at path and takes it as a whole or not at all. The error says what to do.
func Read(path string) ([]Entry, error) {
	f, err := open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read auth file: %w; make it with flow-manager token create --auth-file %s", err, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read auth file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read auth file: %w", err)
	}
	entries, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("read auth file %s: %w; mend it, or move it away and make new tokens with flow-manager token create", path, err)
	}
	return entries, nil
}

// open opens the file once nobody but its owner can have written or can read it. What is judged is what was opened.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe would be waited for
	if err != nil {
		return nil, err
	}
	if err := trusted(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func trusted(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t).Uid
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", f.Name())
	case info.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("%s has mode %04o, so others can use it: chmod 600 %s, and if they may have read or changed it, make new tokens", f.Name(), info.Mode().Perm(), f.Name())
	case owner != 0 && int(owner) != os.Geteuid():
		return fmt.Errorf("%s belongs to user %d, who could change it: run this as that user, or chown it to user %d", f.Name(), owner, os.Geteuid())
	}
	return nil
}

func decode(data []byte) ([]Entry, error) {
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("it has more than %d bytes", maxFileBytes)
	}
	if err := json.Unmarshal(data, &json.RawMessage{}); err != nil {
		return nil, syntax(data, err)
	}
	d := document{}
	bad := api.Decode(data, &d)
	if len(bad) == 0 && d.Tokens == nil {
		bad = []api.FieldError{{Field: "tokens", Message: "is required: the list of tokens, which may be empty"}}
	}
	if len(bad) == 0 {
		bad = flaws(d.Tokens)
	}
	if len(bad) > 0 {
		return nil, errors.New(api.Invalid(bad...).Message)
	}
	return d.Tokens, nil
}

// syntax says in which line the file stops being JSON.
func syntax(data []byte, err error) error {
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:min(int(e.Offset), len(data))], []byte("\n")), err)
	}
	return err
}
