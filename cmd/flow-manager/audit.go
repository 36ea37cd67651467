package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/rs/zerolog"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/flow-manager/flow-manager/api"
)

// auditMegabytes is the size at which the audit log's file is put aside, under a name with the time in it. Those are the operator's to
// remove.
const auditMegabytes = 100

// auditLog appends a line for each declaration to a file before it is answered. What cannot be written is counted and told of.
type auditLog struct {
	losses
	log zerolog.Logger

	lines sync.Mutex // makes one of what torn says and what is written
	out   io.WriteCloser
	torn  bool // the file ends within a line
}

// openAudit opens or makes the file, whose folder must be there.
func openAudit(path string, redactor func(id string) api.Redactor) (*auditLog, error) {
	torn, err := endsTorn(path)
	if err != nil {
		return nil, fmt.Errorf("--audit-log: %w", err)
	}
	a := &auditLog{out: &lumberjack.Logger{Filename: path, MaxSize: auditMegabytes}, torn: torn}
	a.log = zerolog.New(&masker{&jsonLines{a}, redactor}).With().Timestamp().Logger()
	return a, nil
}

// endsTorn makes sure that there is a file that can be written, and tells whether it ends within a line: whoever wrote that died, or
// had no room for the rest.
func endsTorn(path string) (torn bool, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return false, fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false, err
	}
	last := make([]byte, 1)
	_, err = f.ReadAt(last, info.Size()-1)
	return last[0] != '\n', err
}

// Write takes one line. It never fails: a line that cannot be written is counted.
func (a *auditLog) Write(line []byte) (int, error) {
	a.lines.Lock()
	defer a.lines.Unlock()
	whole := line
	if a.torn {
		whole = append([]byte{'\n'}, line...)
	}
	n, err := a.out.Write(whole)
	if n > 0 {
		a.torn = n < len(whole)
	}
	if err != nil {
		a.lose("the audit log cannot be written: " + err.Error())
	}
	return len(line), nil
}

// reopen has the next line written to whatever file is at the path by then.
func (a *auditLog) reopen() error { return a.out.Close() }
