package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

const (
	// tokenPrefix makes a token that has gone astray easy to recognise, for people and for scanners.
	tokenPrefix = "fm_"
	tokenBytes  = 32
	idBytes     = 4
)

// Entry is a token as the file has it.
type Entry struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Role      api.Role   `json:"role"`
	SHA256    string     `json:"sha256"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
}

// Expired tells whether the token counts no more.
func (e *Entry) Expired(now time.Time) bool { return e.ExpiresAt != nil && !now.Before(*e.ExpiresAt) }

// newEntry makes a token and its entry; flaws judges the name and the role.
func newEntry(name string, role api.Role, now time.Time, expires *time.Time) (token string, e Entry) {
	secret, id := make([]byte, tokenBytes), make([]byte, idBytes)
	_, _ = rand.Read(secret) // it never fails, by its own promise
	_, _ = rand.Read(id)
	token = tokenPrefix + base64.RawURLEncoding.EncodeToString(secret)
	return token, Entry{ID: hex.EncodeToString(id), Name: name, Role: role, SHA256: digest(token), CreatedAt: now, ExpiresAt: expires}
}

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// wellFormed tells whether token could be one, so that a mangled one is told from a wrong one.
func wellFormed(token string) bool {
	secret, ok := strings.CutPrefix(token, tokenPrefix)
	raw, err := base64.RawURLEncoding.Strict().DecodeString(secret)
	whole := len(secret) == base64.RawURLEncoding.EncodedLen(tokenBytes) // the decoder skips line ends
	return ok && err == nil && whole && len(raw) == tokenBytes
}

// The forms of an entry's texts. Names stand in logs, tables and the store's keys, so they hold nothing that means something there.
var (
	idForm   = regexp.MustCompile(`^[0-9a-f]{8}$`)
	nameForm = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.@-]{0,62}$`)
	hashForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// flaws names all that is wrong with e by itself.
func (e *Entry) flaws() []api.FieldError {
	var bad []api.FieldError
	check := func(ok bool, field, format string, args ...any) {
		if !ok {
			bad = append(bad, api.FieldError{Field: field, Message: fmt.Sprintf(format, args...)})
		}
	}
	check(idForm.MatchString(e.ID), "id", "must be 8 hexadecimal digits")
	check(nameForm.MatchString(e.Name), "name", "%q is no name: use 1 to 63 letters, digits and _ . @ -, a letter or digit first", e.Name)
	check(e.Role.Valid(), "role", "%q is no role: use viewer, operator or admin", e.Role)
	check(hashForm.MatchString(e.SHA256), "sha256", "must be 64 hexadecimal digits")
	check(!e.CreatedAt.IsZero(), "created_at", "is required: when the token was made, as 2006-01-02T15:04:05Z")
	check(e.ExpiresAt == nil || !e.ExpiresAt.IsZero(), "expires_at", "must be a time, as 2006-01-02T15:04:05Z; leave it out where the token does not expire")
	return bad
}

// flaws names all that is wrong with entries as a whole.
func flaws(entries []Entry) []api.FieldError {
	var bad []api.FieldError
	ids, hashes := map[string]bool{}, map[string]bool{}
	for i := range entries {
		e := &entries[i]
		found := e.flaws()
		if ids[e.ID] {
			found = append(found, api.FieldError{Field: "id", Message: fmt.Sprintf("%q is another token's as well", e.ID)})
		}
		if hashes[e.SHA256] {
			found = append(found, api.FieldError{Field: "sha256", Message: "is another token's as well"})
		}
		for _, f := range found {
			bad = append(bad, api.FieldError{Field: fmt.Sprintf("tokens[%d].%s", i, f.Field), Message: f.Message})
		}
		ids[e.ID], hashes[e.SHA256] = true, true
	}
	return bad
}
