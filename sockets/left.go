package sockets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Left are the ids that have a folder in the run directory, whoever made it: those whose sockets are open, and what was not
// removed.
func (h *Hub) Left() ([]string, error) {
	folder, err := os.Open(h.cfg.RunDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open run directory: %w", err)
	}
	defer folder.Close()
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list run directory: %w", err)
	}
	var ids []string
	for _, name := range names {
		if isID(name) {
			ids = append(ids, name)
		}
	}
	return ids, nil
}
