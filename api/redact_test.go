package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"
)

func secretKeys() []string {
	return []string{"PASSWORD", "db_password", "dbPassword", "DB.PASSWD", "pwd", "client-secret", "API_TOKEN", "authToken", "Authorization",
		"auth", "Set-Cookie", "sessionId", "JWT", "api_key", "apiKey", "API_KEY", "AWS_ACCESS_KEY", "privateKey", "secret_key", "HTTPAuth", "user.credential", "x-bearer"}
}

// innocent are strings that only look a little like secrets, or like what tells one.
func innocent() []string {
	return []string{
		"monkey", "primary_key", "keyboard", "key", "keys", "author", "authority", "tokenizer", "passenger", "compass", "secretary", "cookiecutter",
		"public_key", "sort_key", "PWDX", "sessions", "obsession", "max_tokens", "authored_by", "key_access", "accesskeys", "jwtx", "bearers", "unauthorized",
		"foreign_key_api", "keypad", "turkey", "hotkey", "apikeyx", "bypass",
	}
}

func TestSecretKey(t *testing.T) {
	for _, key := range secretKeys() {
		if !SecretKey(key) {
			t.Errorf("%s is not taken for a secret", key)
		}
	}
	if n := len(innocent()); n < 30 {
		t.Errorf("%d innocent keys", n)
	}
	for _, key := range append(innocent(), "") {
		if SecretKey(key) {
			t.Errorf("%s is taken for a secret", key)
		}
	}
}

func TestRedactor_WhatIsInnocentStaysWhole(t *testing.T) {
	r := NewRedactor(map[string]string{"PASSWORD": "short", "NAME": "hello world", "TOKEN": "a-long-secret"})
	texts := []string{"see http://example.com/a?b=c&d=e", "user@example.com", "mailto:user@example.com", "short", "hello world", `{"name":"x"}`,
		"time=12:30:45", "basic training", "bearer bonds", "", Filtered, "it is password-protected", "a secret", "token", "the session ended: it was idle", "this manager wants a token: connect with one", "that is no token: it is too short; another",
		"your session: closed.", "what a secret: nobody knows",
		"http://host:8080/token/x@y", "sha256:0123456789abcdef", "GET /socket.io/?EIO=4", "auth", `exec: "/no/such": stat /no/such: no such file or directory`}
	for _, word := range innocent() {
		texts = append(texts, word, word+"=banana", word+": banana", `{"`+word+`":"banana"}`, "http://x/?"+word+"=banana", "the "+word+" is fine")
	}
	for _, text := range texts {
		if got := r.Text(text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
	for _, word := range innocent() {
		want := map[string]any{word: "banana"}
		if diff := cmp.Diff(want, r.Value(want)); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRedactor_PatternsWithinTexts(t *testing.T) {
	var r Redactor
	for text, want := range map[string]string{
		`password=hunter2 next`:                  `password=[FILTERED] next`,
		`password = hunter2, next`:               `password = [FILTERED], next`,
		`password => hunter2 next`:               `password => [FILTERED] next`,
		`password := "hunter2" next`:             `password := "[FILTERED]" next`,
		`{"api_key": "x\"y", "a": 1}`:            `{"api_key": "[FILTERED]", "a": 1}`,
		`{\"api_key\":\"x,y\",\"a\":1}`:          `{\"api_key\":\"[FILTERED]\",\"a\":1}`,
		`{"session":{"id":"a}b"},"a":1}`:         `{"session":[FILTERED]"},"a":1}`,
		`{"session":{"id":"x","n":[1]},"a":1}`:   `{"session":[FILTERED],"a":1}`,
		`{"token":["x","y"],"a":1}`:              `{"token":[FILTERED],"a":1}`,
		`{"session":{"id":"x`:                    `{"session":[FILTERED]`,
		`{"pwd":12345,"a":1}`:                    `{"pwd":[FILTERED],"a":1}`,
		`map[password:hunter2 user:me]`:          `map[password:[FILTERED] user:me]`,
		`[DB_PASSWORD=hunter2 USER=me]`:          `[DB_PASSWORD=[FILTERED] USER=me]`,
		`DB_PASSWORD='two words'; x`:             `DB_PASSWORD='[FILTERED]'; x`,
		`DB_PASSWORD="two words`:                 `DB_PASSWORD="[FILTERED]`,
		"DB_PASSWORD=\nnext":                     "DB_PASSWORD=\nnext",
		`a=password=hunter2`:                     `a=password=[FILTERED]`,
		`password: hunter2`:                      `password: [FILTERED]`,
		`db_password: hunter`:                    `db_password: [FILTERED]`,
		`Password: hunter`:                       `Password: [FILTERED]`,
		`password: "hunter"`:                     `password: "[FILTERED]"`,
		`password:hunter`:                        `password:[FILTERED]`,
		`"password": hunter`:                     `"password": [FILTERED]`,
		`cookie: a=b; c=d`:                       `cookie: [FILTERED]`,
		`authorization: basic`:                   `authorization: [FILTERED]`,
		`auth: {token: "abc"}`:                   `auth: [FILTERED]`,
		`--token=abc --x`:                        `--token=[FILTERED] --x`,
		`GET http://me:pw@example.com/`:          `GET http://[FILTERED]@example.com/`,
		`GET http://me@example.com/`:             `GET http://[FILTERED]@example.com/`,
		`redis://:p@ss@host:1/0`:                 `redis://[FILTERED]@host:1/0`,
		`Authorization: Bearer abc.def-ghi`:      `Authorization: [FILTERED]`,
		"Authorization: Digest a=\"b\", c\nnext": "Authorization: [FILTERED]\nnext",
		"Cookie: a=b; c=d\nnext":                 "Cookie: [FILTERED]\nnext",
		`{"Cookie":"a=b; c=d","x":1}`:            `{"Cookie":"[FILTERED]","x":1}`,
		`sent Basic dXNlcjpwYXNz`:                `sent Basic [FILTERED]`,
		`sent basic dXNlcjpwYXNzMQ==`:            `sent basic [FILTERED]`,
		`basic Zm9vOmJhcg/pwd=zz`:                `basic [FILTERED][FILTERED]`, // the mask of the one makes base64 of the other
		`sent bearer abcdefgh`:                   `sent bearer [FILTERED]`,
		`password=[FILTERED] again`:              `password=[FILTERED] again`,
		`http://x/?token=abc&page=2`:             `http://x/?token=[FILTERED]&page=2`,
	} {
		if got := r.Text(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// forms are the ways in which a secret may be written.
func forms(secret string) map[string]string {
	raw := []byte(secret)
	var every strings.Builder
	for _, b := range raw {
		fmt.Fprintf(&every, "%%%02x", b)
	}
	quoted := string(Encode(secret))
	return map[string]string{
		"plain": secret, "query": url.QueryEscape(secret), "path": url.PathEscape(secret), "every byte": every.String(),
		"like JavaScript": strings.NewReplacer("+", "%20", "%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*").Replace(url.QueryEscape(secret)),
		"base64":          base64.StdEncoding.EncodeToString(raw), "base64 unpadded": base64.RawStdEncoding.EncodeToString(raw),
		"base64 for URLs": base64.URLEncoding.EncodeToString(raw), "base64 in a URL": url.QueryEscape(base64.StdEncoding.EncodeToString(raw)),
		"JSON": quoted[1 : len(quoted)-1],
	}
}

// Secrets of the container's own environment do not survive in any form, wherever they stand in a text.
func TestRedactor_OwnSecrets(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := rapid.StringMatching(`[!-~ äß漢\n]{6,40}`).Draw(rt, "secret")
		longer := secret + rapid.StringMatching(`[!-~]{1,10}`).Draw(rt, "more")
		r := NewRedactor(map[string]string{"MY_TOKEN": secret, "other.password": longer, "PLAIN": "visible"})
		before, after := rapid.String().Draw(rt, "before"), rapid.String().Draw(rt, "after")
		for _, value := range []string{secret, longer} {
			for name, form := range forms(value) {
				if strings.Contains(before+Filtered+after, form) || strings.Contains(Filtered, form) {
					continue // it is there without having been planted
				}
				if got := r.Text(before + form + after); strings.Contains(got, form) {
					rt.Fatalf("%s: %q is left in %q", name, form, got)
				}
			}
		}
		if got := r.Text("it is visible"); got != "it is visible" {
			rt.Fatalf("became %q", got)
		}
	})
}

// Values of secret keys do not survive in a structure, nor in a text that shows one.
func TestRedactor_SecretKeys(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const secret = "s3cr3t-V4lue"
		key := rapid.SampledFrom(secretKeys()).Draw(rt, "key")
		value := rapid.SampledFrom([]any{secret, []any{1.0, secret}, map[string]any{"x": map[string]any{"y": secret}}}).Draw(rt, "value")
		word := rapid.StringMatching(`[a-z]{1,6}`)
		for range rapid.IntRange(0, 4).Draw(rt, "depth") {
			switch rapid.IntRange(0, 2).Draw(rt, "in") {
			case 0:
				value = map[string]any{key: value, word.Draw(rt, "sibling"): 1.0}
			case 1:
				value = map[string]any{key: map[string]any{word.Draw(rt, "inner"): value}}
			default:
				value = map[string]any{key: []any{value, true}}
			}
		}
		planted := map[string]any{"outer": []any{map[string]any{key: value, "n": 12345678901234567.0}}}
		raw := Encode(planted)
		for form, shown := range map[string]string{
			"value": string(Encode(Redactor{}.Value(planted))), "JSON": string(Redactor{}.JSON(raw)), "raw": string(Encode(Redactor{}.Value(raw))),
			"text": Redactor{}.Text(string(raw)), "quoted text": Redactor{}.Text(string(Encode(string(raw)))),
		} {
			if strings.Contains(shown, secret) {
				rt.Fatalf("%s: %s", form, shown)
			}
			if form != "text" && form != "quoted text" && !json.Valid([]byte(shown)) {
				rt.Fatalf("%s is no JSON: %s", form, shown)
			}
		}
	})
}

// What is a secret by its place in a text does not survive, whatever stands around it.
func TestRedactor_SecretsByForm(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := rapid.StringMatching(`[A-Za-z0-9._~+/-]{3}[0-9][A-Za-z0-9._~+-]{6,20}`).Draw(rt, "secret")
		key := rapid.SampledFrom(secretKeys()).Draw(rt, "key")
		around := rapid.StringMatching(`[ -~\n]{0,20}`)
		before, after := around.Draw(rt, "before")+" ", " "+around.Draw(rt, "after")
		pair := base64.StdEncoding.EncodeToString([]byte("me:" + secret))
		for _, planted := range []string{
			key + "=" + secret, key + `="` + secret + `"`, key + `='` + secret + `'`, `"` + key + `":"` + secret + `"`, key + ": " + secret,
			"https://me:" + url.PathEscape(secret) + "@host/x", "Bearer " + secret, "Authorization: Bearer " + secret, "?a=b&" + key + "=" + secret + "&c=d",
			"Basic " + pair,
		} {
			planted := strings.ReplaceAll(planted, url.PathEscape(secret)+"@", strings.ReplaceAll(url.PathEscape(secret), "/", "%2F")+"@")
			if got := (Redactor{}).Text(before + planted + after); strings.Contains(got, secret) || strings.Contains(got, pair) {
				rt.Fatalf("%q is left in %q", secret, got)
			}
		}
	})
}

func TestRedactor_Value(t *testing.T) {
	r := NewRedactor(map[string]string{"TOKEN": "a long value"})
	got := r.Value(map[string]any{"password": map[string]any{"x": 1.0}, "list": []any{"a long value", 1.0, nil}, "n": true, "a long value": 1})
	want := map[string]any{"password": Filtered, "list": []any{Filtered, 1.0, nil}, "n": true, Filtered: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRedactor_Certain(t *testing.T) {
	r := NewRedactor(map[string]string{"token": "flow_0123456789"})
	for text, want := range map[string]string{
		"token-service: declared, but not observed":          "token-service: declared, but not observed",
		"via http://me:pw@proxy: flow_0123456789 is refused": "via http://[FILTERED]@proxy: [FILTERED] is refused",
	} {
		if got := r.Certain(text); got != want {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestRedactor_JSON(t *testing.T) {
	r := NewRedactor(map[string]string{"TOKEN": "a-long-secret"})
	for in, want := range map[string]string{
		`{"z":1.50,"a":9007199254740993,"b":{"pwd":[1]},"c":"a-long-secret"}`: `{"z":1.50,"a":9007199254740993,"b":{"pwd":"[FILTERED]"},"c":"[FILTERED]"}`,
		`[null,true,"x<y>",{}, []]`: `[null,true,"x<y>",{}, []]`,
		` "token=abc" `:             ` "token=[FILTERED]" `,
		`{"a\"token":{"x":"}"} , "\u0074oken" : [1,{"a":"]"}], "n":-1}`: `{"a\"token":{"x":"}"} , "\u0074oken" :"[FILTERED]", "n":-1}`,
		`{"token":1}`:    `{"token":"[FILTERED]"}`,
		`{"token":"abc"`: `"{\"token\":\"[FILTERED]\""`,
		``:               `""`,
	} {
		if got := string(r.JSON(json.RawMessage(in))); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}

// Thirty-two times as much of whatever it may be takes about as many times as long; its square would hold up the process.
func TestRedactor_HostileTextsTakeTheirLength(t *testing.T) {
	r := NewRedactor(map[string]string{"TOKEN": strings.Repeat("a", 1000)})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpu := func() time.Duration { // a busy machine lets time pass in which nothing is done
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
			t.Fatal(err)
		}
		return time.Duration(ts.Nano())
	}
	took := func(text string) time.Duration {
		best := time.Hour
		for range 2 {
			began := cpu()
			r.Text(text)
			best = min(best, cpu()-began)
		}
		return best
	}
	const size = 4 << 10
	for _, unit := range []string{"pwd:[", "pwd:{", `pwd="`, "pwd=\n", "pwd", "pwd:", "a://", "a://b@", "bearer ", `\`, `pwd=\`, Filtered, "pwd={\"a\n", "b", "key = ", "basic", "bearer", "basic basic", "x://password=6a/b&@", "a+%61"} {
		short, long := took(strings.Repeat(unit, size/len(unit))), took(strings.Repeat(unit, 32*size/len(unit)))
		if long > 250*short+10*time.Millisecond {
			t.Errorf("%q: %s, and 32 times as much of it %s", unit, short, long)
		}
	}
}

func FuzzRedactor_Text(f *testing.F) {
	for _, text := range []string{"", Filtered, "password=[FILTERED]x", `x://password="a/b"@h`, "foofoopassword=abc", "bearer token=abcdef", `pwd=\"x\\\"y\"`, "pwd:{[}]", "a%20b+c", "basic Zm9vOmJhcg/pwd=zz", "x://password=6a/b&@h", "pwd:{]u["} {
		f.Add(text, "foofoo")
	}
	f.Fuzz(func(t *testing.T, text, secret string) {
		for _, r := range []Redactor{{}, NewRedactor(map[string]string{"TOKEN": secret})} {
			once := r.Text(text)
			if twice := r.Text(once); twice != once {
				t.Errorf("%q became %q, and that %q", text, once, twice)
			}
		}
	})
}
