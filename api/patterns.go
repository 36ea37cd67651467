package api

import (
	"encoding/base64"
	"slices"
	"strings"
)

// What ends a value that has no quotes, and the user and password of a URL.
const (
	lineEnds      = "\r\n"
	valueEnds     = lineEnds + " \t\v\f,;&\"'}])"
	authorityEnds = lineEnds + " \t\v\f/?#\\\"'<>"
)

// indexFold is the first index of a word of lower ASCII in text, in whatever case, or -1.
func indexFold(text, word string) int {
	for at := 0; at+len(word) <= len(text); at++ {
		if text[at]|0x20 == word[0] && strings.EqualFold(text[at:at+len(word)], word) {
			return at
		}
	}
	return -1
}

// userinfos finds the users and passwords of URLs. A password may have an unescaped @.
func userinfos(text string) []span {
	var found []span
	for from := 0; ; {
		n := strings.Index(text[from:], "://")
		if n < 0 {
			return found
		}
		scheme := strings.TrimRightFunc(text[from:from+n], isSchemeRune)
		hasScheme := len(scheme) < n
		from += n + len("://")
		authority := text[from : from+endOf(text[from:], authorityEnds)]
		if at := strings.LastIndexByte(authority, '@'); at > 0 && hasScheme {
			found = append(found, span{from, from + at})
		}
	}
}

func isSchemeRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '.' || r == '-'
}

// minToken is how long a token behind "bearer" or "basic" must be to be none of prose.
const minToken = 6

// credentials finds tokens behind "bearer", and behind "basic" what is a user and a password in base64, so that prose about
// basic training stays. Other schemes of authorization are found by their header's name.
func credentials(text string) []span {
	return append(behind(text, "bearer", func(string) bool { return true }), behind(text, "basic", isPair)...)
}

// behind finds the tokens behind a word.
func behind(text, word string, isSecret func(token string) bool) []span {
	var found []span
	for from := 0; ; {
		n := indexFold(text[from:], word)
		if n < 0 {
			return found
		}
		from += n + len(word)
		rest := strings.TrimLeft(text[from:], " \t")
		if begin := len(text) - len(rest); begin > from {
			token := rest[:len(rest)-len(strings.TrimLeftFunc(rest, isTokenRune))]
			if from = begin + len(token); len(token) >= minToken && isSecret(token) {
				found = append(found, span{begin, from})
			}
		}
	}
}

func isTokenRune(r rune) bool { return isSchemeRune(r) || strings.ContainsRune("_~/=", r) }

func isPair(token string) bool {
	pair, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(token, "="))
	return err == nil && strings.Contains(string(pair), ":")
}

// assigned finds the values that are given to secret keys. What follows an innocent key may hold another assignment, as a
// URL does.
func assigned(text string) []span {
	var found []span
	for from, at := 0, 0; at < len(text); at++ {
		if text[at] != '=' && text[at] != ':' {
			continue
		}
		key, quoted := keyBefore(text[from:at])
		header := text[at] == ':' && isHeader(key)
		if !SecretKey(key) || text[at] == ':' && !quoted && !header && isProse(key, text[at+1:]) {
			continue
		}
		if v := value(text, at, header); v.from < v.to {
			found = append(found, v)
			from, at = v.to, v.to-1
		}
	}
	return found
}

// keyBefore is the key that text ends with. JSON within JSON has its quotes escaped.
func keyBefore(text string) (key string, quoted bool) {
	text = strings.TrimRight(text, " \t")
	if n := len(text); n > 0 && (text[n-1] == '"' || text[n-1] == '\'') {
		text, quoted = strings.TrimRight(text[:n-1], `\`), true
	}
	key = text[len(strings.TrimRightFunc(text, isKeyRune)):]
	return strings.TrimLeft(key, "0123456789_.-"), quoted
}

// isProse tells a sentence that goes on behind a colon ("wants a token: connect with one") from a value: a plain word, a blank,
// and a plain word.
func isProse(key, behind string) bool {
	next := strings.TrimLeft(behind, " \t")
	word := strings.TrimRight(next[:endOf(next, valueEnds)], ".!?:")
	return len(next) < len(behind) && isPlain(key) && isPlain(word)
}

func isPlain(word string) bool {
	return word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz") == ""
}

func isKeyRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-'
}

// isHeader tells a header whose value is made of several words.
func isHeader(key string) bool {
	return slices.ContainsFunc(words(key), func(w string) bool { return oneOf(w, []string{"authorization", "cookie"}) })
}

// value is the extent of the value behind a separator: what its quotes hold, an object or array as a whole, the rest of its
// line, or its first word.
func value(text string, separator int, wholeLine bool) span {
	rest := text[separator+1:]
	if rest != "" && (rest[0] == '=' || rest[0] == '>') { // := and =>
		rest = rest[1:]
	}
	rest = strings.TrimLeft(rest, " \t")
	from := len(text) - len(rest)
	if opening := opening(rest); opening != "" {
		from += len(opening)
		return span{from, from + endOfQuoted(text[from:], opening)}
	}
	length := nested(rest)
	if wholeLine || length == 0 && strings.HasPrefix(rest, "{") {
		return span{from, from + endOf(rest, lineEnds)}
	}
	return span{from, from + length + endOf(rest[length:], valueEnds)}
}

// opening is the quote that text begins with, with the backslashes before it.
func opening(text string) string {
	n := len(text) - len(strings.TrimLeft(text, `\`))
	if n < len(text) && (text[n] == '"' || text[n] == '\'') {
		return text[:n+1]
	}
	return ""
}

// maxNested is how far the end of an object or array is looked for, so that a text full of openings costs no more.
const maxNested = 1024

// nested gives how much of text is the object or array that it begins with: nothing where that does not end. A mask is none.
func nested(text string) int {
	if text == "" || text[0] != '{' && text[0] != '[' || strings.HasPrefix(text, Filtered) {
		return 0
	}
	depth := 0
	for at := range min(len(text), maxNested) {
		switch text[at] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return at + 1
			}
		}
	}
	return 0
}

// endOf is where the first of stops is in text that is not part of a mask.
func endOf(text, stops string) int {
	for at := 0; at < len(text); at++ {
		if strings.HasPrefix(text[at:], Filtered) {
			at += len(Filtered) - 1
		} else if strings.IndexByte(stops, text[at]) >= 0 {
			return at
		}
	}
	return len(text)
}

// endOfQuoted is where the closing quote is, which has as many backslashes as the opening one; what is cut off ends with
// its line.
func endOfQuoted(text, opening string) int {
	mark, slashes := opening[len(opening)-1], 0
	for at := range len(text) {
		switch {
		case text[at] == '\\':
			slashes++
			continue
		case text[at] == mark && slashes == len(opening)-1:
			return at - slashes
		case strings.IndexByte(lineEnds, text[at]) >= 0:
			return at
		}
		slashes = 0
	}
	return len(text)
}
