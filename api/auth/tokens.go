package auth

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// Why a login was refused or ended: details.reason of an authentication_error.
const (
	reasonMissing   = api.ReasonTokenMissing
	reasonMalformed = api.ReasonTokenMalformed
	reasonUnknown   = api.ReasonTokenUnknown
	reasonExpired   = api.ReasonTokenExpired
	reasonRevoked   = api.ReasonTokenRevoked
	reasonChanged   = api.ReasonTokenChanged
)

// Tokens are the tokens that count now.
type Tokens struct {
	path     string
	failures *failures

	mu      sync.RWMutex
	current []*grant
}

// grant is a token that counts, and the life of the sessions that it was used for.
type grant struct {
	Entry
	life context.Context // what Login hands out; it ends with the grant
	end  context.CancelCauseFunc
}

// Open reads the file at path.
func Open(path string) (*Tokens, error) {
	t := &Tokens{path: path, failures: newFailures()}
	if err := t.Reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// Reload reads the file again. Lives end at once whose tokens are gone or not the same; with a file that cannot be taken,
// everything stays as it was.
func (t *Tokens) Reload() error {
	entries, err := Read(t.path)
	if err != nil {
		return err
	}
	t.replace(entries)
	return nil
}

// Count is how many tokens there are, the expired ones included.
func (t *Tokens) Count() int {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.current)
}

// Close ends every life.
func (t *Tokens) Close() { t.replace(nil) }

func (t *Tokens) replace(entries []Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	gone := map[string]*grant{}
	for _, g := range t.current {
		gone[g.SHA256] = g
	}
	t.current = make([]*grant, 0, len(entries))
	for _, e := range entries {
		g := gone[e.SHA256]
		delete(gone, e.SHA256)
		t.current = append(t.current, g.continued(e))
	}
	for _, g := range gone {
		g.end(refusal(reasonRevoked, "the token %s of %s was revoked; log in with another one", g.ID, g.Name))
	}
}

// continued is g where e is still the same, and else a new grant in its place; g is nil for a new token.
func (g *grant) continued(e Entry) *grant {
	switch {
	case g == nil:
		return newGrant(e)
	case g.same(&e):
		return g
	}
	g.end(refusal(reasonChanged, "the token %s of %s is not what it was when this session began; log in again", e.ID, e.Name))
	return newGrant(e)
}

func newGrant(e Entry) *grant {
	life, end := context.WithCancelCause(context.Background())
	if e.ExpiresAt == nil {
		return &grant{e, life, end}
	}
	timed, release := context.WithDeadlineCause(life, *e.ExpiresAt, e.expiry())
	return &grant{e, timed, func(cause error) { end(cause); release() }}
}

// same tells whether a session can go on as if nothing had changed.
func (e *Entry) same(other *Entry) bool {
	forever := e.ExpiresAt == nil && other.ExpiresAt == nil
	return e.ID == other.ID && e.Name == other.Name && e.Role == other.Role &&
		(forever || e.ExpiresAt != nil && other.ExpiresAt != nil && e.ExpiresAt.Equal(*other.ExpiresAt))
}

func (e *Entry) expiry() *api.Error {
	return refusal(reasonExpired, "the token %s of %s expired at %s; log in with another one", e.ID, e.Name, e.ExpiresAt.UTC().Format(time.RFC3339))
}

func refusal(reason, format string, args ...any) *api.Error {
	return api.Errorf(api.AuthenticationError, format, args...).With("reason", reason)
}

// Login finds whom the auth object of a client stands for. The life that comes with it ends, with an *api.Error as its
// cause, when the client may act no more. The error is one as well: why not, or that there were too many like it.
func (t *Tokens) Login(auth json.RawMessage, remote string) (Entry, context.Context, error) {
	g, no := t.judge(auth)
	if no == nil {
		return g.Entry, g.life, nil
	}
	if wait := t.failures.note(remote, time.Now()); wait > 0 {
		seconds := int((wait + time.Second - 1) / time.Second)
		return Entry{}, nil, api.Errorf(api.RateLimitError, "too many logins from this address failed; look at the token, and try again in %d seconds", seconds).
			With("retry_after", seconds)
	}
	return Entry{}, nil, no
}

func (t *Tokens) judge(auth json.RawMessage) (*grant, *api.Error) {
	var given struct {
		Token *string `json:"token"`
	}
	if len(auth) > 0 && json.Unmarshal(auth, &given) != nil {
		return nil, malformed("it is not a string")
	}
	switch token := given.Token; {
	case token == nil || *token == "":
		return nil, refusal(reasonMissing, "this manager wants a token: connect with one (%s..) as auth.token; whoever runs it makes one by flow-manager token create", tokenPrefix)
	case !wellFormed(*token):
		return nil, malformed(fmt.Sprintf("it is %d characters long", len(*token)))
	default:
		return t.find(digest(*token))
	}
}

func malformed(why string) *api.Error {
	return refusal(reasonMalformed, "that is no token: %s; one is %s and 43 letters, digits, - and _, to be copied whole, without quotes or spaces", why, tokenPrefix)
}

// find takes as long for a token that is almost right as for any other.
func (t *Tokens) find(hash string) (*grant, *api.Error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	var found *grant
	for _, g := range t.current {
		if subtle.ConstantTimeCompare([]byte(g.SHA256), []byte(hash)) == 1 {
			found = g
		}
	}
	switch {
	case found == nil:
		return nil, refusal(reasonUnknown, "this token is not known here: it was revoked, or is another manager's; whoever runs this one makes another by flow-manager token create")
	case found.Expired(time.Now()):
		return nil, found.expiry()
	}
	return found, nil
}
