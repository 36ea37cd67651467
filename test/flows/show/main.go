// Command show prints, as one line of JSON, who it runs as, and what it finds in the files that its arguments name. Of each
// it also tries to make something beside it. Tests put it into code that is mounted, and see by it what a container sees.
package main

import (
	"encoding/json"
	"os"
	"path/filepath"
)

type found struct {
	Contents string `json:"contents"`
	Read     string `json:"read"`
	Write    string `json:"write"`
}

func main() {
	files := map[string]found{}
	for _, path := range os.Args[1:] {
		contents, err := os.ReadFile(path)
		files[path] = found{string(contents), text(err), text(os.WriteFile(filepath.Join(filepath.Dir(path), "new"), nil, 0o600))}
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"uid": os.Getuid(), "files": files}); err != nil {
		os.Exit(1)
	}
}

func text(err error) string {
	if err == nil {
		return "done"
	}
	return err.Error()
}
