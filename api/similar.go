package api

import (
	"iter"
	"strings"
)

// maxSimilar is how long a name may be that another one is looked for, in bytes.
const maxSimilar = 40

// Similar is the one of names that word was most likely meant to be, "" where none is near: the same name in another style of
// writing, one that begins alike, one with two letters wrong, or one that word is short for.
func Similar(word string, names iter.Seq[string]) string {
	if len(word) > maxSimilar {
		return ""
	}
	word = plain(word)
	if len(word) < 3 {
		return ""
	}
	best, distance := "", 0
	for name := range names {
		d := apart(word, plain(name))
		if d > 0 && (best == "" || d < distance || d == distance && name < best) {
			best, distance = name, d
		}
	}
	return best
}

// plain is a name without what styles of writing differ by.
func plain(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
}

// apart tells how far a name is from what was written: the lower the nearer, 0 where it is too far to be meant.
func apart(word, name string) int {
	switch edits := edits(word, name); {
	case word == name:
		return 1
	case len(name) < 3:
		return 0
	case strings.HasPrefix(name, word) || strings.HasPrefix(word, name):
		return 2
	case edits <= 2 && 3*edits <= len(word):
		return 2 + edits
	case word[0] == name[0] && len(name) <= 3*len(word) && within(word, name):
		return 5
	}
	return 0
}

// edits counts the letters to insert, remove or replace that make b of a.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}

// within tells whether name has the letters of word, in their order.
func within(word, name string) bool {
	for i := range len(word) {
		at := strings.IndexByte(name, word[i])
		if at < 0 {
			return false
		}
		name = name[at+1:]
	}
	return true
}
