package auth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/flow-manager/flow-manager/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openTokens(t *testing.T, path string) *Tokens {
	t.Helper()
	tokens, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tokens.Close)
	return tokens
}

func given(token string) json.RawMessage { return api.Encode(map[string]string{"token": token}) }

// reasonOf is the error's type and details.reason.
func reasonOf(err error) string {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		return fmt.Sprint(err)
	}
	return fmt.Sprint(e.Type, " ", e.Details["reason"])
}

// login must work and gives the life of what it stands for.
func login(t *testing.T, tokens *Tokens, token string) context.Context {
	t.Helper()
	_, life, err := tokens.Login(given(token), "192.0.2.1:5")
	if err != nil {
		t.Fatal(err)
	}
	return life
}

func TestTokens_Login(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	token, made := create(t, path, "ann", api.Operator)
	other, _ := create(t, path, "bob", api.Viewer)
	stranger, _ := newEntry("eve", api.Admin, time.Now(), nil)
	tokens := openTokens(t, path)
	if e, life, err := tokens.Login(given(token), "192.0.2.1:5"); err != nil || e.Name != "ann" || e.Role != api.Operator || e.ID != made.ID || life.Err() != nil {
		t.Errorf("ann: %+v, %v", e, err)
	}
	if e, _, err := tokens.Login(api.Encode(map[string]any{"token": other, "more": 1}), "192.0.2.1:5"); err != nil || e.Name != "bob" {
		t.Errorf("bob: %+v, %v", e, err)
	}
	for auth, want := range map[string]string{
		"":                                  "authentication_error missing",
		`{}`:                                "authentication_error missing",
		`{"token":null}`:                    "authentication_error missing",
		`{"token":""}`:                      "authentication_error missing",
		`{"token":7}`:                       "authentication_error malformed",
		`{"token":{}}`:                      "authentication_error malformed",
		`{"token":"x"}`:                     "authentication_error malformed",
		`{"token":"` + token[3:]:            "authentication_error malformed",
		string(given(token[:len(token)-1])): "authentication_error malformed",
		string(given(token + "\n")):         "authentication_error malformed",
		string(given(token + " ")):          "authentication_error malformed",
		string(given(made.SHA256)):          "authentication_error malformed",
		string(given(stranger)):             "authentication_error unknown",
	} {
		address := fmt.Sprintf("192.0.2.%d:5", len(auth)) // each has an allowance of its own
		_, _, err := tokens.Login([]byte(auth), address)
		if got := reasonOf(err); got != want {
			t.Errorf("%s: got %s, want %s", auth, got, want)
		}
		if err != nil && strings.Contains(err.Error(), token[:10]) {
			t.Errorf("the answer to %s holds a token: %v", auth, err)
		}
	}
}

func TestTokens_ReloadEndsWhatIsNotTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	stays, _ := create(t, path, "stays", api.Operator)
	goes, gone := create(t, path, "goes", api.Operator)
	sinks, sunk := create(t, path, "sinks", api.Operator)
	tokens := openTokens(t, path)
	staying, going, sinking := login(t, tokens, stays), login(t, tokens, goes), login(t, tokens, sinks)

	if err := Revoke(path, gone.ID); err != nil {
		t.Fatal(err)
	}
	err := edit(path, func(entries []Entry) ([]Entry, error) {
		for i := range entries {
			if entries[i].ID == sunk.ID {
				entries[i].Role = api.Viewer
			}
		}
		return entries, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if staying.Err() != nil || going.Err() != nil || sinking.Err() != nil {
		t.Error("a life ended though the file was not read again")
	}
	if err := tokens.Reload(); err != nil {
		t.Fatal(err)
	}
	if err := staying.Err(); err != nil {
		t.Errorf("what stays the same ended: %v", context.Cause(staying))
	}
	if got := reasonOf(context.Cause(going)); got != "authentication_error revoked" {
		t.Errorf("revoked: %s", got)
	}
	if got := reasonOf(context.Cause(sinking)); got != "authentication_error changed" {
		t.Errorf("changed: %s", got)
	}
	if _, _, err := tokens.Login(given(goes), "x"); reasonOf(err) != "authentication_error unknown" {
		t.Errorf("a revoked token: %v", err)
	}
	if e, life, err := tokens.Login(given(sinks), "x"); err != nil || e.Role != api.Viewer || life.Err() != nil {
		t.Errorf("the changed token: %+v, %v", e, err)
	}
}

func TestTokens_ReloadErrKeepsWhatWas(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	token, _ := create(t, path, "ann", api.Operator)
	tokens := openTokens(t, path)
	life := login(t, tokens, token)
	for _, spoil := range []func() error{
		func() error { return os.Chmod(path, 0o644) },
		func() error { return os.WriteFile(path, []byte(`{"tokens":[{}]}`), 0o600) },
		func() error { return os.Remove(path) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if err := tokens.Reload(); err == nil {
			t.Error("a broken file was taken")
		}
		if life.Err() != nil || tokens.Count() != 1 {
			t.Errorf("%v; %d tokens are left", context.Cause(life), tokens.Count())
		}
		login(t, tokens, token)
	}
}

func TestTokens_Expiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tokens")
		token, _, err := Create(path, "ann", api.Operator, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		tokens := openTokens(t, path)
		life := login(t, tokens, token)
		time.Sleep(time.Hour - time.Nanosecond)
		synctest.Wait()
		if life.Err() != nil {
			t.Error("it ended before its time")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got := reasonOf(context.Cause(life)); got != "authentication_error expired" {
			t.Errorf("at its time: %s", got)
		}
		if _, _, err := tokens.Login(given(token), "x"); reasonOf(err) != "authentication_error expired" {
			t.Errorf("afterwards: %v", err)
		}
	})
}

func TestTokens_FailedLoginsAreLimitedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "tokens")
		token, _ := create(t, path, "ann", api.Operator)
		tokens := openTokens(t, path)
		fail := func(remote string) *api.Error {
			_, _, err := tokens.Login(given("wrong"), remote)
			e, _ := errors.AsType[*api.Error](err)
			return e
		}
		for i := range failureBurst {
			if e := fail(fmt.Sprintf("192.0.2.1:%d", i+1)); e.Type != api.AuthenticationError {
				t.Fatalf("try %d: %v", i, e)
			}
		}
		e := fail("192.0.2.1:99")
		if e.Type != api.RateLimitError || e.Details["retry_after"] != int(failureEvery/time.Second) {
			t.Errorf("one too many: %v %v", e, e.Details)
		}
		if e := fail("192.0.2.2:1"); e.Type != api.AuthenticationError {
			t.Errorf("another address: %v", e)
		}
		login(t, tokens, token) // from the first address, with the right token
		time.Sleep(failureEvery)
		if e := fail("192.0.2.1:1"); e.Type != api.AuthenticationError {
			t.Errorf("after retry_after: %v", e)
		}
		if e := fail("192.0.2.1:1"); e.Type != api.RateLimitError {
			t.Errorf("and once more: %v", e)
		}
	})
}

func TestFailures_Neighbourhood(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:80":              "192.0.2.1",
		"[::ffff:192.0.2.1]:80":     "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::1]:1":  "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":         "fe80::/64",
		"@":                         "@",
		"":                          "",
	} {
		if got := neighbourhood(remote); got != want {
			t.Errorf("%s: got %s, want %s", remote, got, want)
		}
	}
}

func TestFailures_AreBounded(t *testing.T) {
	f, now := newFailures(), time.Now()
	address := func(i int) string { return fmt.Sprintf("10.%d.%d.%d:1", i>>16, i>>8&255, i&255) }
	for i := range 3 * maxAddresses {
		f.note(address(i), now)
	}
	if len(f.by) > maxAddresses {
		t.Errorf("%d addresses are remembered", len(f.by))
	}
	if f.note(address(5*maxAddresses), now) == 0 {
		t.Error("what does not fit in the table has no limit")
	}
	now = now.Add(2 * failureEvery)
	if f.note(address(5*maxAddresses), now) != 0 || len(f.by) != 1 {
		t.Errorf("%d addresses are remembered that have been quiet", len(f.by))
	}
}
