package store

import (
	"bytes"
	"encoding/json"
	"fmt"

	bolt "go.etcd.io/bbolt"
)

// maxLog is how many changes are kept in the file. What flows did may be half of them, the others only push it out of the rest but
// for a tenth.
const maxLog = 100_000

// logged is what the log in the file holds: how many changes, and of those that flows caused which, by container, oldest first.
type logged struct {
	changes int
	flows   int
	by      map[string][]uint64
}

// flowMark is how a change ends in the file that a flow caused.
var flowMark = []byte(`"flow":true}`)

// readLogged looks over the log. What is damaged is no flow's.
func readLogged(tx *bolt.Tx) (logged, error) {
	l := logged{by: map[string][]uint64{}}
	err := tx.Bucket(bucketLog).ForEach(func(k, v []byte) error {
		revision, _ := revisionOf(k)
		l.add(flowOf(v), revision)
		return nil
	})
	return l, err
}

// flowOf is the container whose flow caused a change; "" where none did.
func flowOf(value []byte) string {
	var c struct {
		ID string `json:"id"`
	}
	if !bytes.HasSuffix(value, flowMark) || json.Unmarshal(value, &c) != nil {
		return ""
	}
	return c.ID
}

func (l *logged) add(flow string, revision uint64) {
	l.changes++
	if flow != "" {
		l.flows++
		l.by[flow] = append(l.by[flow], revision)
	}
}

// drop forgets the oldest change, of a flow where it caused it.
func (l *logged) drop(flow string) {
	l.changes--
	if flow == "" {
		return
	}
	l.flows--
	if l.by[flow] = l.by[flow][1:]; len(l.by[flow]) == 0 {
		delete(l.by, flow)
	}
}

// publish takes in what a transaction has added and dropped.
func (l *logged) publish(tx *txn) {
	for _, flow := range tx.dropped {
		l.drop(flow)
	}
	for i := range tx.log {
		flow := ""
		if tx.log[i].Flow {
			flow = tx.log[i].ID
		}
		l.add(flow, tx.log[i].Revision)
	}
}

// trim drops what is too old or too much, a little more per commit than the commit adds. All but what flows caused is dropped at the
// beginning of the log only: behind its first change nothing else is missing.
func (tx *txn) trim() error {
	c := tx.bolt.Bucket(bucketLog).Cursor()
	for budget := 2*len(tx.log) + 2; budget > 0; budget-- {
		key, value := c.First()
		if key == nil {
			return nil
		}
		if _, ok := revisionOf(key); ok && !tx.outlived(value) {
			if key = tx.surplus(key); key == nil {
				return nil
			}
		}
		if err := tx.dropChange(key); err != nil {
			return err
		}
	}
	return nil
}

func (tx *txn) dropChange(key []byte) error {
	log := tx.bolt.Bucket(bucketLog)
	tx.dropped = append(tx.dropped, flowOf(log.Get(key)))
	if err := log.Delete(key); err != nil {
		return fmt.Errorf("trim the log: %w", err)
	}
	return nil
}

// surplus is the change that is one too many, nil where there is room for all: the oldest one of the flow that has the most, or the
// first of all.
func (tx *txn) surplus(first []byte) []byte {
	most, total, taken := tx.options.maxLog, tx.logged.changes+len(tx.log)-len(tx.dropped), map[string]int{}
	flows := tx.logged.flows
	for _, flow := range tx.dropped {
		if flow != "" {
			taken[flow]++
			flows--
		}
	}
	if flows <= most/10 || flows <= most/2 && total <= most {
		if total <= most {
			return nil
		}
		return first
	}
	var noisiest []uint64
	for flow, revisions := range tx.logged.by {
		if left := revisions[taken[flow]:]; len(left) > len(noisiest) {
			noisiest = left
		}
	}
	return revisionKey(noisiest[0])
}
