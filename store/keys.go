package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/flow-manager/flow-manager/api"
)

// keyEntry remembers what a request with an idempotency key led to.
type keyEntry struct {
	name       []byte
	BodyHash   string    `json:"body_hash"`
	ID         string    `json:"id"`
	Generation int64     `json:"generation"`
	Changed    bool      `json:"changed"`
	Created    bool      `json:"created"`
	Expires    time.Time `json:"expires"`
}

// ledger is when each principal's keys expire, soonest first.
type ledger map[string][]time.Time

func (l ledger) add(name []byte, expires time.Time) {
	principal, _, _ := bytes.Cut(name, []byte{0})
	l[string(principal)] = append(l[string(principal)], expires)
}

// live drops what has expired and gives the rest.
func (l ledger) live(principal string, now time.Time) []time.Time {
	kept := l[principal]
	for len(kept) > 0 && !kept[0].After(now) {
		kept = kept[1:]
	}
	if len(kept) == 0 {
		delete(l, principal)
		return nil
	}
	l[principal] = kept
	return kept
}

// roomForKey refuses a key more than are remembered: to forget one before its time would break the promise that its request
// is safe to repeat.
func (tx *txn) roomForKey(principal string) error {
	kept := tx.keys.live(principal, tx.now)
	n := len(kept)
	for i := range tx.effects {
		if k := tx.effects[i].key; k != nil && bytes.HasPrefix(k.name, keyName(principal, "")) {
			n++
		}
	}
	if n < tx.options.MaxKeys {
		return nil
	}
	wait := keyLifetime
	if len(kept) > 0 {
		wait = kept[0].Sub(tx.now)
	}
	return api.Errorf(api.RateLimitError, "%d idempotency keys of the last %s are remembered, which is all that one principal may have; the next is forgotten in %s: wait, or leave idempotency_key out",
		n, keyLifetime, wait.Round(time.Second)).With("retry_after", int64(wait/time.Second)+1)
}

func keyName(principal, key string) []byte { return []byte(principal + "\x00" + key) }

// replay finds what the same request led to before.
func (tx *txn) replay(d *Declaration) (*keyEntry, error) {
	data := tx.bolt.Bucket(bucketKeys).Get(keyName(d.Principal, d.Key))
	if entry := tx.pendingKey(d); entry != nil {
		return entry, entry.sameBody(d)
	}
	if data == nil {
		return nil, nil
	}
	entry := &keyEntry{}
	if err := json.Unmarshal(data, entry); err != nil {
		return nil, api.Errorf(api.ConflictError, "what this idempotency_key led to cannot be read any more; look whether it was done, and use a new key to ask again").Because(err)
	}
	if entry.Expires.Before(tx.now) {
		return nil, nil
	}
	return entry, entry.sameBody(d)
}

// pendingKey finds the key among the operations of the same commit, which are not in the file yet.
func (tx *txn) pendingKey(d *Declaration) *keyEntry {
	for i := range tx.effects {
		if k := tx.effects[i].key; k != nil && string(k.name) == string(keyName(d.Principal, d.Key)) {
			return k
		}
	}
	return nil
}

func (k *keyEntry) sameBody(d *Declaration) error {
	if k.BodyHash == d.BodyHash {
		return nil
	}
	return api.Errorf(api.ConflictError, "this idempotency_key was used for another request; use a new key for a new request")
}

func (tx *txn) writeKey(k *keyEntry) error {
	if err := put(tx.bolt, bucketKeys, k.name, k); err != nil {
		return err
	}
	expiries := tx.bolt.Bucket(bucketExpiries)
	if err := expiries.Put(expiryKey(k.Expires, k.name), nil); err != nil {
		return fmt.Errorf("write expiry: %w", err)
	}
	return tx.dropOldKeys()
}

// dropOldKeys forgets a few expired keys with every new one, so that they cannot pile up.
func (tx *txn) dropOldKeys() error {
	c := tx.bolt.Bucket(bucketExpiries).Cursor()
	for range 4 {
		k, _ := c.First()
		expires, name, ok := cutExpiry(k)
		switch {
		case k == nil, ok && expires.After(tx.now):
			return nil
		case ok:
			if err := tx.dropKey(name); err != nil {
				return err
			}
		}
		if err := c.Delete(); err != nil {
			return fmt.Errorf("forget an expiry: %w", err)
		}
	}
	return nil
}

// dropKey leaves a key alone that was used again after it had expired.
func (tx *txn) dropKey(name []byte) error {
	var entry keyEntry
	data := tx.bolt.Bucket(bucketKeys).Get(name)
	if data == nil || json.Unmarshal(data, &entry) == nil && entry.Expires.After(tx.now) {
		return nil
	}
	if err := tx.bolt.Bucket(bucketKeys).Delete(name); err != nil {
		return fmt.Errorf("forget an idempotency key: %w", err)
	}
	return nil
}

func expiryKey(at time.Time, name []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(at.UnixNano())), name...)
}

func cutExpiry(key []byte) (at time.Time, name []byte, ok bool) {
	if len(key) < 8 {
		return time.Time{}, nil, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(key))), key[8:], true
}
