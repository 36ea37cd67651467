package server

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/flow-manager/flow-manager/api"
)

// tellers are the packages that give reasons.
func tellers() []string {
	return []string{".", "../auth", "../../controller", "../../controller/plan", "../../store"}
}

// Whatever looks like a reason in the code that gives them is one that is explained, and every one that is explained is given.
func TestReasons_AreThoseOfTheCode(t *testing.T) {
	explained, given := map[string]bool{}, map[string]bool{}
	for _, w := range api.Reasons() {
		explained[w.Word] = true
	}
	names := reasonConstants(t)
	looksLikeOne := regexp.MustCompile(`^([A-Z][a-z]+)+$`)
	for _, folder := range tellers() {
		for _, file := range sources(t, folder) {
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.BasicLit:
					word, err := strconv.Unquote(n.Value)
					if n.Kind == token.STRING && err == nil && looksLikeOne.MatchString(word) {
						given[word] = true
						if !explained[word] {
							t.Errorf("%s gives the reason %s, which api.Reasons does not explain", folder, word)
						}
					}
				case *ast.SelectorExpr:
					if word := names[n.Sel.Name]; word != "" {
						given[word] = true
					}
				}
				return true
			})
		}
	}
	for word := range explained {
		if !given[word] {
			t.Errorf("nothing gives the reason %s", word)
		}
	}
	for name, word := range names {
		if !explained[word] {
			t.Errorf("api.Reasons does not explain %s", name)
		}
	}
}

// reasonConstants are the reasons of package api, by the names of their constants.
func reasonConstants(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	for _, file := range sources(t, "..") {
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Reason") && !strings.HasSuffix(spec.Names[0].Name, "NotRemoved") {
				return true
			}
			if literal, ok := spec.Values[0].(*ast.BasicLit); ok {
				names[spec.Names[0].Name], _ = strconv.Unquote(literal.Value)
			}
			return true
		})
	}
	return names
}

// sources are the parsed files of a folder, without its tests.
func sources(t *testing.T, folder string) []*ast.File {
	t.Helper()
	entries, err := fs.Glob(os.DirFS(folder), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, name := range entries {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, name), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}
