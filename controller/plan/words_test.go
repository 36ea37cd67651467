package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"

	"github.com/flow-manager/flow-manager/api"
)

// What people are told of an action is one of the words that are explained.
func TestWord_IsOneOfTheWire(t *testing.T) {
	told := map[string]bool{}
	for _, a := range actions(t) {
		word := Word(a)
		if !slices.ContainsFunc(api.Actions(), func(w api.Word) bool { return w.Word == word }) {
			t.Errorf("%q is told as %q, which api.Actions does not explain", a, word)
		}
		told[word] = true
	}
	for _, w := range api.Actions() {
		if !told[w.Word] {
			t.Errorf("no action is told as %q", w.Word)
		}
	}
}

// actions are the constants of type Action.
func actions(t *testing.T) []Action {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "step.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var list []Action
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if kind, ok := spec.Type.(*ast.Ident); ok && kind.Name == "Action" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, Action(value))
		}
		return true
	})
	return list
}
