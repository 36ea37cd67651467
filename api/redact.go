package api

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Filtered stands where a secret stood.
const Filtered = "[FILTERED]"

// SecretKey tells whether the value of a key called so is a secret: one of its words says so, or it ends in "key" after a
// word that makes a key secret. Words end at '_', '-', '.' and where camel case begins a new one.
func SecretKey(key string) bool {
	words := words(key)
	if slices.ContainsFunc(words, func(w string) bool { return oneOf(w, secretWords()) }) {
		return true
	}
	n := len(words)
	return n >= 2 && strings.EqualFold(words[n-1], "key") && oneOf(words[n-2], []string{"api", "access", "private", "secret"})
}

func secretWords() []string {
	return []string{"password", "passwd", "pwd", "secret", "token", "credential", "authorization", "auth", "cookie", "session", "jwt", "bearer"}
}

func oneOf(word string, list []string) bool {
	return slices.ContainsFunc(list, func(w string) bool { return strings.EqualFold(w, word) })
}

// words splits "apiKey_OLD" into api, Key, OLD.
func words(key string) []string {
	var list []string
	begin, before := 0, rune(0)
	end := func(at int) {
		if at > begin {
			list = append(list, key[begin:at])
		}
	}
	for at, r := range key {
		if r == '_' || r == '-' || r == '.' {
			end(at)
			begin = at + 1
		} else if unicode.IsUpper(r) {
			after, _ := utf8.DecodeRuneInString(key[at+utf8.RuneLen(r):])
			if unicode.IsLower(before) || at > 0 && unicode.IsLower(after) {
				end(at)
				begin = at
			}
		}
		before = r
	}
	end(len(key))
	return list
}

// Redactor masks secrets in what is said about one container. The zero value knows no secret of its own: it masks what is
// one by its key or its form.
type Redactor struct{ own *secrets }

// NewRedactor knows the secret values of a container's environments, plain and as URLs, base64 and JSON write them.
func NewRedactor(environments ...map[string]string) Redactor {
	own := &secrets{byFirst: map[byte][]string{}}
	for _, environment := range environments {
		for key, value := range environment {
			if SecretKey(key) {
				own.add(value)
			}
		}
	}
	if len(own.byFirst) == 0 {
		return Redactor{}
	}
	return Redactor{own}
}

// Text masks the secrets in a text: values of the container's own secret variables, values that are given to secret keys
// (key=value, key: value), a URL's user and password, and bearer and basic credentials. What it gives it leaves as it is
// when asked again: a mask may bring to light what another rule knows, so it looks until nothing is found.
func (r Redactor) Text(text string) string {
	for range maxRounds {
		masked := cover(text, r.own.find(text))
		masked = cover(masked, credentials(masked)) // before their first word is taken for the value of a key
		masked = cover(masked, assigned(masked))
		masked = cover(masked, userinfos(masked))
		if masked == text {
			return text
		}
		text = masked
	}
	return text
}

// Certain masks what needs no guess: the redactor's own secrets, and the users and passwords of URLs. It is for sentences of
// ours, in which a name before a colon may read like a key.
func (r Redactor) Certain(text string) string {
	text = cover(text, r.own.find(text))
	return cover(text, userinfos(text))
}

// Reach is how many bytes a secret may have, as it may be written, that the redactor is sure to find.
func (r Redactor) Reach() int {
	const byForm = 8 << 10
	if r.own == nil {
		return byForm
	}
	return max(byForm, r.own.reach)
}

// maxRounds is more than any text needs: two are, and another that finds nothing.
const maxRounds = 8

// Value masks the secrets in a decoded JSON value: all of what stands at a secret key, and those within strings and keys.
func (r Redactor) Value(value any) any {
	switch v := value.(type) {
	case string:
		return r.Text(v)
	case json.RawMessage:
		return r.JSON(v)
	case []any:
		masked := make([]any, len(v))
		for i := range v {
			masked[i] = r.Value(v[i])
		}
		return masked
	case map[string]any:
		return r.members(v)
	}
	return value
}

func (r Redactor) members(object map[string]any) map[string]any {
	masked := make(map[string]any, len(object))
	for key, value := range object {
		if SecretKey(key) {
			masked[r.Text(key)] = Filtered
			continue
		}
		masked[r.Text(key)] = r.Value(value)
	}
	return masked
}
