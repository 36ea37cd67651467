package api

import (
	"strings"
	"testing"
)

func TestWords_AreExplainedOnce(t *testing.T) {
	for name, table := range map[string][]Word{"reasons": Reasons(), "causes": Causes(), "actions": Actions()} {
		known := map[string]bool{}
		for _, w := range table {
			if known[w.Word] || w.Word == "" || !strings.HasSuffix(w.Means, ".") || strings.Contains(w.Means, "\n") {
				t.Errorf("%s: %q means %q", name, w.Word, w.Means)
			}
			known[w.Word] = true
		}
	}
}
