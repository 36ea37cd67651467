package docker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTailBuffer(t *testing.T) {
	tests := []struct {
		name   string
		writes []string
		want   []string
	}{
		{"nothing", nil, []string{}},
		{"lines", []string{"a\nb", "c\n"}, []string{"a", "bc"}},
		{"more lines than asked for", []string{"1\n2\n3\n4\n5\n"}, []string{"3", "4", "5"}},
		{"more bytes than allowed", []string{strings.Repeat("x", 30) + "\nlast"}, []string{"last"}},
		{"one endless line", []string{strings.Repeat("x", 10), strings.Repeat("y", 1000)}, []string{strings.Repeat("y", 20)}},
		{"no UTF-8", []string{"a\xffb"}, []string{"a\uFFFDb"}},
	}
	for _, tt := range tests {
		b := tailBuffer{limit: 20}
		for _, w := range tt.writes {
			fmt.Fprint(&b, w)
		}
		if diff := cmp.Diff(tt.want, b.lines(3)); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
}
