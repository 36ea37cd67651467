package api

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Filtered stands where a secret stood.
const Filtered = "[FILTERED]"

// minSecretBytes is how long a value of a secret variable must be to be looked for in texts: shorter ones are in every text.
const minSecretBytes = 6

// SecretKey tells whether the value of a key called so is a secret: one of its words says so, or it ends in "key" after a
// word that makes a key secret. Words end at '_', '-', '.' and where camel case begins a new one.
func SecretKey(key string) bool {
	words := words(key)
	for _, w := range words {
		switch w {
		case "password", "passwd", "pwd", "secret", "token", "credential", "authorization", "auth", "cookie", "session", "jwt", "bearer",
			"passwords", "secrets", "tokens", "credentials", "cookies":
			return true
		}
	}
	n := len(words)
	return n >= 2 && words[n-1] == "key" && slices.Contains([]string{"api", "access", "private", "secret"}, words[n-2])
}

// words splits "apiKey_OLD" into api, key, old.
func words(key string) []string {
	var list []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			list = append(list, strings.ToLower(string(word)))
		}
		word = nil
	}
	runes := []rune(key)
	for i, r := range runes {
		switch {
		case r == '_' || r == '-' || r == '.':
			end()
			continue
		case unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			end()
		}
		word = append(word, r)
	}
	end()
	return list
}

// Redactor masks secrets in texts about one container.
type Redactor struct{ values *strings.Replacer }

// NewRedactor knows the secret values of a container's environment, plain and as URLs and base64 write them.
func NewRedactor(environment map[string]string) Redactor {
	var forms []string
	for key, value := range environment {
		if SecretKey(key) && len(value) >= minSecretBytes {
			forms = append(forms, encodings(value)...)
		}
	}
	slices.SortFunc(forms, func(a, b string) int { return len(b) - len(a) }) // a secret may be the beginning of another
	pairs := make([]string, 0, 2*len(forms))
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, Filtered)
	}
	return Redactor{strings.NewReplacer(pairs...)}
}

func encodings(value string) []string {
	raw := []byte(value)
	return []string{
		value, url.QueryEscape(value), url.PathEscape(value),
		base64.StdEncoding.EncodeToString(raw), base64.RawStdEncoding.EncodeToString(raw),
		base64.URLEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
	}
}

var (
	assignment = regexp.MustCompile(`(["']?)([A-Za-z][A-Za-z0-9_.-]*)(["']?\s*[=:]\s*)(\[FILTERED\]|"(?:[^"\\]|\\.)*"|'[^']*'|[^\s,;&"'}\]]+)`)
	userinfo   = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)[^/\s@"']+@`)
	scheme     = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}`)
)

// Text masks the secrets in a text: values of the container's own secret variables, key=value of secret keys, a URL's user
// and password, and bearer and basic credentials.
func (r Redactor) Text(text string) string {
	if r.values != nil {
		text = r.values.Replace(text)
	}
	text = userinfo.ReplaceAllString(text, "${1}"+Filtered+"@")
	text = scheme.ReplaceAllStringFunc(text, credentials)
	return assignments(text)
}

// assignments masks the values of secret keys. What follows an innocent key may hold another assignment, as a URL does.
func assignments(text string) string {
	var out strings.Builder
	for {
		m := assignment.FindStringSubmatchIndex(text)
		if m == nil {
			out.WriteString(text)
			return out.String()
		}
		key, value := text[m[4]:m[5]], m[8]
		out.WriteString(text[:value])
		if SecretKey(key) {
			out.WriteString(Filtered)
			value = m[9]
		}
		text = text[value:]
	}
}

// credentials masks what looks like a token: prose about basic training has neither digits nor a colon behind base64.
func credentials(match string) string {
	kind, token, _ := strings.Cut(match, " ")
	token = strings.TrimSpace(token)
	if strings.EqualFold(kind, "basic") {
		decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(token, "="))
		if err != nil || !strings.Contains(string(decoded), ":") {
			return match
		}
	} else if strings.Trim(token, "abcdefghijklmnopqrstuvwxyz") == "" {
		return match
	}
	return kind + " " + Filtered
}

// Value masks the secrets in a decoded JSON value: all of what stands at a secret key, and those within strings.
func (r Redactor) Value(value any) any {
	switch v := value.(type) {
	case string:
		return r.Text(v)
	case []any:
		masked := make([]any, len(v))
		for i := range v {
			masked[i] = r.Value(v[i])
		}
		return masked
	case map[string]any:
		masked := make(map[string]any, len(v))
		for key, one := range v {
			if SecretKey(key) {
				masked[key] = Filtered
				continue
			}
			masked[key] = r.Value(one)
		}
		return masked
	}
	return value
}
